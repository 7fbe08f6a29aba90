"""The stored offers of real browsers (Chromium 156 and Firefox ESR 153; addresses replaced)."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "sdp_offers"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sdp"))
BROWSERS = ["chromium", "firefox"]


def offer_text(name: str) -> str:
    """With the CRLF it came with."""
    return (FOLDER / f"{name}.sdp").read_bytes().decode()


def without_video_slots(text: str, closed: int) -> str:
    """The offer with its last `closed` video slots closed, so that as many audio slots have no partner."""
    head, *sections = re.split(r"(?=m=)", text)
    slots = [at for at, each in enumerate(sections) if each.startswith("m=video") and "a=recvonly" in each]
    for at in slots[-closed:]:
        sections[at] = re.sub(r"^m=video \d+", "m=video 0", sections[at])
        mid = re.search(r"a=mid:(\S+)", sections[at])
        assert mid is not None
        head = re.sub(rf"(a=group:BUNDLE.*?) {mid[1]}\b", r"\1", head)
    return head + "".join(sections)
