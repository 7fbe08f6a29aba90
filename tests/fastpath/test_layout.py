"""The layout of shared memory, pinned: sizes and offsets of everything in fastpath/table.h and uplink.h.

A change of tests/fastpath/layout.json is a change of layout: raise TABLE_LAYOUT_VERSION with it once a
release has the version before. SOTTO_UPDATE_LAYOUT=1 writes the file.
"""

import json
import os
import re
import subprocess
from pathlib import Path

GOLDEN = Path(__file__).with_name("layout.json")
HEADERS = ("table.h", "uplink.h")
# Views are pointers of one process, and no part of any segment.
PRIVATE = re.compile(r"_view$|^table_capacities$")


def _structs(text: str) -> dict[str, list[str]]:
    """Fields by struct, in order, read from a header in our style."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = {}
    for name, body in re.findall(r"^struct (\w+) \{\n?(.*?)^\};", text, flags=re.DOTALL | re.MULTILINE):
        if PRIVATE.search(name):
            continue
        fields: list[str] = []
        for declaration in body.split(";"):
            if declaration.strip():
                fields += re.findall(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:,|$)", declaration.strip())
        found[name] = fields
    return found


def _measured(root: Path, folder: Path) -> dict:
    structs: dict[str, list[str]] = {}
    for header in HEADERS:
        structs |= _structs((root / "fastpath" / header).read_text())
    lines = ['#include "table.h"', '#include "uplink.h"', "#include <stdio.h>", "int main(void) {"]
    lines.append('printf("%u\\n", TABLE_LAYOUT_VERSION);')
    for name, fields in structs.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        lines += [f'printf("{name}.{f} %zu\\n", offsetof(struct {name}, {f}));' for f in fields]
    source, program = folder / "layout.c", folder / "layout"
    source.write_text("\n".join([*lines, "}"]))
    subprocess.run(
        ["gcc", "-std=gnu11", "-iquote", str(root / "fastpath"), str(source), "-o", str(program)], check=True
    )
    version, *rest = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
    layout: dict = {"version": int(version), "structs": {}}
    for line in filter(None, rest):
        name, value = line.split()
        struct, _, field = name.partition(".")
        if field:
            layout["structs"][struct]["offsets"][field] = int(value)
        else:
            layout["structs"][struct] = {"size": int(value), "offsets": {}}
    return layout


def test_the_layout_is_the_pinned_one(root: Path, tmp_path: Path):
    layout = _measured(root, tmp_path)
    if os.environ.get("SOTTO_UPDATE_LAYOUT"):
        GOLDEN.write_text(json.dumps(layout, indent=1) + "\n")
    pinned = json.loads(GOLDEN.read_text())
    assert layout == pinned, "another layout: see the top of this file"


def test_every_struct_is_covered(root: Path, tmp_path: Path):
    layout = _measured(root, tmp_path)["structs"]
    assert {
        "transport_row",
        "source_row",
        "sink_row",
        "transport_state",
        "source_state",
        "sink_state",
    } <= set(layout)
    assert {"config_header", "state_header", "config_generation", "projection", "uplink_head"} <= set(layout)
    for name, struct in layout.items():
        assert struct["offsets"], name
        assert min(struct["offsets"].values()) == 0, name
