"""What members are told over the data channel: only what changed since they were told last."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any

from control.protocol import names
from control.protocol.content import error_object
from control.protocol.deals import layers_content
from control.protocol.events import Effect, SendChannel
from control.protocol.member import Member
from control.protocol.rates import Rates
from control.protocol.roster import Roster
from control.protocol.sealing import Inner, content, worth_saying
from control.protocol.view import View
from control.protocol.wishes import Track


@dataclass(frozen=True, slots=True)
class Scene:
    """What all members of a conference are told the same of."""

    speakers: dict[str, Any]  # P.speakers
    muted: frozenset[Track]
    rates: Rates
    inner: Inner = field(default_factory=dict)  # where sealed sources stand


def tell_roster(
    member: Member, roster: Roster, welcome: Callable[[Member], Mapping[str, Any]]
) -> list[Effect]:
    """What is new of who is here to a member whose channel is open: a newcomer, or when it is due to all.

    Before anything else that names members.
    """
    told = member.told
    effects: list[Effect] = []
    if not told.welcome:
        told.welcome = True
        effects.append(SendChannel(member.transport.id, names.WELCOME, dict(welcome(member))))
        contents = roster.everybody()
    else:
        contents = roster.changes(told.roster)
    told.roster = roster.entries
    # The very same value to all: it is made into text once.
    return effects + [SendChannel(member.transport.id, names.MEMBERS, content) for content in contents]


def nothing_new(member: Member, scene: Scene, view: View, now: float) -> bool:
    """Would `tell` say nothing? It looked at the very same, and what it held back is not due yet."""
    due, looked = member.told.due, member.told.looked
    if not looked or (due is not None and now >= due):
        return False
    return all(map(is_, looked, _looked(member, scene, view)))


def tell(member: Member, scene: Scene, view: View, now: float) -> list[Effect]:
    """What else is new for a member whose channel is open. What is held back for now is due later."""
    told = member.told
    told.looked = _looked(member, scene, view)
    messages: list[tuple[str, Mapping[str, Any]]] = []
    # Nobody is spoken of before the roster was: it is due soon, and all is looked at again then.
    known = view.named <= told.roster.keys()
    if known and view.slots is not told.slots and view.slots != told.slots:
        told.slots = view.slots
        told.revision += 1
        messages.append((names.SLOTS, {"revision": told.revision, "slots": view.slots}))
    if known and (view.sealed or told.sealed):
        sealed = content(view.sealed, scene.inner)
        if worth_saying(told.sealed, sealed):
            told.sealed = sealed
            told.sealed_revision += 1
            messages.append((names.SEALED, {"revision": told.sealed_revision, "sources": sealed}))
    send = member.sending.content(member.transport, scene.rates)
    if told.send_pace.may_say(send != told.send, now):
        told.send = send
        messages.append((names.SEND, send))
    if known:
        layers = member.deals.changes(view.shown, scene.muted, now)
    else:
        layers, member.deals.due = {}, None
    if told.layers_pace.may_say(bool(layers), now):
        member.deals.say(layers)
        messages.append((names.LAYERS, layers_content(layers)))
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
        effects.append(SendChannel(member.transport.id, names.SPEAKERS, scene.speakers))
    due = (*(pace.due for pace in told.paces), member.deals.due)
    told.due = min((at for at in due if at is not None), default=None)
    return effects


def error_message(member: Member, code: str, message: str, in_reply_to: str) -> SendChannel:
    """P.error: a message of theirs could not be used."""
    content = error_object(code, message) | {"in_reply_to": in_reply_to}
    return SendChannel(member.transport.id, names.ERROR, content)


def _looked(member: Member, scene: Scene, view: View) -> tuple[object, ...]:
    """All that `tell` depends on, each the very same object until it is something else."""
    told, transport = member.told, member.transport
    versions = member.sending.version, member.deals.version
    return scene, view, told.roster, transport.agreement, member.losses, *versions
