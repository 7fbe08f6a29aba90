"""What waits for a member whose channel is slow: rosters, and of what changes by itself the newest."""

from collections.abc import Mapping
from typing import Any, Final

from control.protocol import names
from control.protocol.roster_parts import WaitingRoster

# In the order in which they are sent once there is room, after the roster: it names whom they speak of.
_GATHERED: Final = (names.SLOTS, names.SEALED, names.SEND, names.LAYERS, names.SPEAKERS, names.VIEWERS)


class Backlog:
    """Of one data channel. Whatever else is said does not wait here: none of it may be lost."""

    def __init__(self) -> None:
        self._roster = WaitingRoster()
        self._waiting: dict[str, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._roster or self._waiting)

    def put(self, message_type: str, content: Mapping[str, Any]) -> bool:
        """Keeps a message in place of an older one; False when its kind may not wait."""
        if message_type == names.MEMBERS:
            self._roster.put(content)
            return True
        if message_type not in _GATHERED:
            return False
        kept = dict(content)
        if message_type == names.LAYERS and message_type in self._waiting:
            # Says only what changed: what an older one said of other slots still holds.
            kept["slots"] = self._waiting[message_type]["slots"] | content["slots"]
        self._waiting[message_type] = kept
        return True

    def take(self) -> tuple[str, dict[str, Any]] | None:
        """The next one to send; None when nothing waits."""
        if (part := self._roster.take()) is not None:
            return names.MEMBERS, part
        for message_type in _GATHERED:
            if message_type in self._waiting:
                return message_type, self._waiting.pop(message_type)
        return None

    def clear(self) -> None:
        """The channel is gone, or another one."""
        self._roster = WaitingRoster()
        self._waiting.clear()
