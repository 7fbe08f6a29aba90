"""P.members in messages that stay under their size limit, at once or as a slow channel takes them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from control.protocol import limits

Entry = dict[str, Any]


def parts(present: Iterable[Entry], gone: list[int], reset: bool) -> list[dict[str, Any]]:
    """All of it. With `reset` each says whether more of the whole roster follows."""
    waiting = WaitingRoster()
    waiting.put({"reset": reset, "present": present, "gone": gone})
    found = []
    while (part := waiting.take()) is not None:
        found.append(part)
    return found


class WaitingRoster:
    """What one member has not been told yet: of each other member the newest, so it never grows beyond all
    of them."""

    def __init__(self) -> None:
        self._present: dict[int, Entry] = {}
        self._gone: dict[int, None] = {}
        self._reset = False  # nothing of the whole roster that waits was taken yet
        self._whole = False  # some of a whole roster waits
        self._follows = False  # more of it is going to be put

    def __bool__(self) -> bool:
        return bool(self._reset or self._present or self._gone)

    def put(self, content: Mapping[str, Any]) -> None:
        """One P.members, of any size."""
        self._follows = content.get("more", False)
        if content["reset"]:
            self._present, self._gone, self._reset = {}, {}, True
        self._whole = self._whole or self._reset or self._follows
        for number in content["gone"]:
            self._present.pop(number, None)
            self._gone[number] = None
        for entry in content["present"]:
            self._gone.pop(entry["member"], None)
            self._present[entry["member"]] = entry

    def take(self) -> dict[str, Any] | None:
        """The next part; None when nothing waits."""
        if not self:
            return None
        gone = list(self._gone)[: limits.ROSTER_PART_GONE]
        for number in gone:
            del self._gone[number]
        present: list[Entry] = []
        room = limits.ROSTER_PART_BYTES
        for entry in self._present.values():
            room -= _bytes(entry)
            if room < 0:
                break
            present.append(entry)
        for entry in present:
            del self._present[entry["member"]]
        part: dict[str, Any] = {"reset": self._reset, "present": present, "gone": gone}
        self._reset = False
        if self._whole and (self or self._follows):
            part["more"] = True
        else:
            self._whole = False
        return part


def _bytes(entry: Entry) -> int:
    """That it takes in a message, at most. A device may be called anything: control characters are escaped,
    and others take several bytes."""
    names: str = entry["user_id"] + entry["device_id"]
    if names.isascii() and names.isprintable():
        return limits.ROSTER_ENTRY_BYTES + len(names) + names.count('"') + names.count("\\")
    return limits.ROSTER_ENTRY_BYTES + len(json.dumps(names, ensure_ascii=False).encode())
