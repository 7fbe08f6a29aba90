"""What members are told over the data channel: only what changed since they were told last."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from control.protocol import limits, names
from control.protocol.content import error_object
from control.protocol.events import Effect, SendChannel
from control.protocol.member import Member
from control.protocol.rates import Rates
from control.protocol.sealing import Inner, content, worth_saying
from control.protocol.view import View
from control.protocol.wishes import Track

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """What all members of a conference are told the same of."""

    speakers: Mapping[str, Any]  # P.speakers
    muted: frozenset[Track]
    rates: Rates
    inner: Inner = field(default_factory=dict)  # where sealed sources stand


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


def tell_roster(
    member: Member, roster: Roster, welcome: Callable[[Member], Mapping[str, Any]]
) -> list[Effect]:
    """What is new of who is here, once for each update of the roster, to a member whose channel is open.

    Before anything else that names members.
    """
    messages: list[tuple[str, Mapping[str, Any]]] = []
    if not member.told.welcome:
        member.told.welcome = True
        messages.append((names.WELCOME, welcome(member)))
        messages += [(names.MEMBERS, content) for content in roster.everybody()]
    else:
        messages += [(names.MEMBERS, content) for content in roster.changes()]
    return [
        SendChannel(member.transport.id, message_type, dict(content)) for message_type, content in messages
    ]


def tell(member: Member, scene: Scene, view: View, now: float) -> list[Effect]:
    """What else is new for a member whose channel is open. What is held back for now is due later."""
    told = member.told
    messages: list[tuple[str, Mapping[str, Any]]] = []
    if view.slots is not told.slots and view.slots != told.slots:
        told.slots = view.slots
        told.revision += 1
        messages.append((names.SLOTS, {"revision": told.revision, "slots": view.slots}))
    if view.sealed or told.sealed:
        sealed = content(view.sealed, scene.inner)
        if worth_saying(told.sealed, sealed):
            told.sealed = sealed
            told.sealed_revision += 1
            messages.append((names.SEALED, {"revision": told.sealed_revision, "sources": sealed}))
    send = member.sending.content(member.transport, scene.rates)
    if told.send_pace.may_say(send != told.send, now):
        told.send = send
        messages.append((names.SEND, send))
    layers = member.deals.changes(view.shown, scene.muted, now)
    if told.layers_pace.may_say(bool(layers), now):
        member.deals.say(layers)
        messages.append((names.LAYERS, {"slots": layers}))
    viewers = {
        source: losses.content() for source, losses in member.losses.items() if source in member.sources
    }
    if told.viewers_pace.may_say(viewers != told.viewers, now):
        told.viewers = viewers
        messages.append((names.VIEWERS, {"sources": viewers}))
    effects: list[Effect] = [
        SendChannel(member.transport.id, kind, dict(content)) for kind, content in messages
    ]
    return effects + tell_speakers(member, scene, now)


def tell_speakers(member: Member, scene: Scene, now: float) -> list[Effect]:
    """Of `tell`, what everybody is told at every change."""
    told = member.told
    effects: list[Effect] = []
    if told.speakers_pace.may_say(scene.speakers != told.speakers, now):
        told.speakers = scene.speakers
        effects.append(SendChannel(member.transport.id, names.SPEAKERS, dict(scene.speakers)))
    due = (*(pace.due for pace in told.paces), member.deals.due)
    told.due = min((at for at in due if at is not None), default=None)
    return effects


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
