"""Licences of what a wheel carries inside: `python tools/licences.py WHEEL` adds them to dist-info/licenses.

The bundled libraries' texts are those of the Debian packages they came from, the browser client's those of
its npm packages. Without one of them no wheel is made: whoever passes it on has to pass them on too.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("LICENSE*", "LICENCE*", "license*", "COPYING*", "NOTICE*")


def of_library(name: str) -> str:
    """The copyright file of the Debian package that a bundled library came from; `name` as in NAME.libs/."""
    stem = name.split("-")[0].split(".so")[0]  # auditwheel puts a hash after the name
    for path in sorted(Path("/usr/lib").glob(f"*/{stem}.so.*")):
        owner = subprocess.run(["dpkg", "-S", path.resolve()], capture_output=True, text=True, check=False)
        # Merged /usr: the package may have its files under /lib.
        if owner.returncode:
            known_as = str(path.resolve()).removeprefix("/usr")
            owner = subprocess.run(["dpkg", "-S", known_as], capture_output=True, text=True, check=False)
        if owner.returncode == 0:
            package = owner.stdout.partition(":")[0]
            return Path(f"/usr/share/doc/{package}/copyright").read_text()
    raise SystemExit(f"no licence found for {name}: of which Debian package is it?")


def of_page() -> str:
    """Of every npm package that may be in the browser client, one after another."""
    lock = json.loads((ROOT / "web/package-lock.json").read_text())
    texts: list[str] = []
    for place, package in sorted(lock["packages"].items()):
        if not place or package.get("dev"):
            continue
        folder = ROOT / "web" / place
        found = sorted({file for name in NAMES for file in folder.glob(name) if file.is_file()})
        head = f"{place.rpartition('node_modules/')[2]} {package['version']}: {package.get('license', '')}"
        texts.append("\n\n".join([head, *(file.read_text(errors="replace").strip() for file in found)]))
    return f"\n\n{'-' * 78}\n\n".join(texts) + "\n"


def put_into(wheel: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "wheel", "unpack", "-d", place, wheel], check=True)
        (folder,) = Path(place).iterdir()
        (info,) = folder.glob("*.dist-info")
        licences = info / "licenses"
        licences.mkdir(exist_ok=True)
        for library in sorted(folder.glob("*.libs/*")):
            (licences / f"{library.name.split('-')[0]}.txt").write_text(of_library(library.name))
        if (folder / "control/page").is_dir():
            (licences / "browser-client.txt").write_text(of_page())
        wheel.unlink()
        subprocess.run([sys.executable, "-m", "wheel", "pack", "-d", wheel.parent, folder], check=True)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        put_into(Path(argument))
