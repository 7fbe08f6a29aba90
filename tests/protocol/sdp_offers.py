"""The stored offers of real browsers (Chromium 156 and Firefox ESR 153; addresses replaced)."""

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "sdp_offers"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sdp"))
BROWSERS = ["chromium", "firefox"]


def offer_text(name: str) -> str:
    """With the CRLF it came with."""
    return (FOLDER / f"{name}.sdp").read_bytes().decode()
