"""What members are told over the data channel: only what changed since they were told last."""

from collections.abc import Mapping
from typing import Any

from control.protocol import limits, names
from control.protocol.content import error_object
from control.protocol.events import Effect, SendChannel
from control.protocol.member import Member
from control.protocol.view import View

Entry = dict[str, Any]


class Roster:
    """Who is in the conference, as all members have been told."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._present: list[Entry] = []  # what changed at the last update
        self._gone: list[int] = []

    def update(self, members: Mapping[int, Member]) -> None:
        """Work out what has changed; whoever is told afterwards is told that."""
        entries = {number: each.roster_entry() for number, each in members.items() if each.present}
        self._present = [entry for number, entry in entries.items() if self._entries.get(number) != entry]
        self._gone = sorted(self._entries.keys() - entries.keys())
        self._entries = entries

    def changes(self) -> list[dict[str, Any]]:
        """P.members for those who knew the roster before."""
        if not self._present and not self._gone:
            return []
        return _chunks(self._present, self._gone, reset=False)

    def everybody(self) -> list[dict[str, Any]]:
        """P.members for a newcomer."""
        return _chunks(list(self._entries.values()), [], reset=True)


def tell(member: Member, roster: Roster, view: View, welcome: Mapping[str, Any]) -> list[Effect]:
    """What is new for a member whose channel is open; the roster before the slots that name it."""
    messages: list[tuple[str, dict[str, Any]]] = []
    told = member.told
    if not told.welcome:
        told.welcome, told.slots, told.send = True, None, None
        messages.append((names.WELCOME, {**welcome, "member": member.number}))
        messages += [(names.MEMBERS, content) for content in roster.everybody()]
    else:
        messages += [(names.MEMBERS, content) for content in roster.changes()]
    if view.slots is not told.slots and view.slots != told.slots:
        told.slots = view.slots
        told.revision += 1
        messages.append((names.SLOTS, {"revision": told.revision, "slots": view.slots}))
    rids = {source: each.rids for source, each in member.transport.senders.items() if each.rids}
    send = member.sending.content(rids)
    if send != told.send:
        told.send = send
        messages.append((names.SEND, send))
    return [SendChannel(member.transport.id, message_type, content) for message_type, content in messages]


def error_message(member: Member, code: str, message: str, in_reply_to: str) -> SendChannel:
    """P.error: a message of theirs could not be used."""
    content = error_object(code, message) | {"in_reply_to": in_reply_to}
    return SendChannel(member.transport.id, names.ERROR, content)


def _chunks(present: list[Entry], gone: list[int], reset: bool) -> list[dict[str, Any]]:
    """P.members in messages that stay under their size limit."""
    size = limits.ROSTER_CHUNK
    chunks = [present[start : start + size] for start in range(0, len(present), size)] or [[]]
    return [
        {"reset": reset and index == 0, "present": chunk, "gone": gone if index == 0 else []}
        for index, chunk in enumerate(chunks)
    ]
