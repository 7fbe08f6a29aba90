"""Members prove that they have the ticket secret of an epoch, and what follows when one becomes current."""

from typing import Any

from control.protocol import limits, names
from control.protocol.admission import TicketError, epoch_proof_text, is_verifier, verify
from control.protocol.conference import Conference
from control.protocol.content import Prove, unpadded
from control.protocol.epochs import Epoch
from control.protocol.events import CountMetric, Effect, SendChannel
from control.protocol.member import Member
from control.protocol.telling import error_message


def prove(conference: Conference, member: Member, said: Prove, now: float) -> list[Effect]:
    """P.prove. Of a proof that is not right the member is told, and nothing has changed."""
    try:
        epoch = _check(conference, member, said)
    except TicketError as error:
        return [
            CountMetric("epoch_proofs_refused", error.label),
            error_message(member, error.code, error.message, names.PROVE),
        ]
    conference.admission.epochs.prove(member.number, epoch)
    return settle(conference, now)


def settle(conference: Conference, now: float) -> list[Effect]:
    """After a proof, a join or a leave: has an epoch become current, and who has to prove it yet?"""
    epochs = conference.admission.epochs
    effects: list[Effect] = []
    # Whoever comes or leaves changes the one or the other.
    if conference.proved_for == (epochs.version, conference.arrivals):
        return effects
    while epochs.settle(conference.persons):
        effects.append(CountMetric("epochs_begun"))
        conference.grace = {}
    unproved = epochs.unproved(conference.members)
    conference.grace = until = {
        number: conference.grace.get(number, now + conference.settings.ticket_grace_s) for number in unproved
    }
    is_open = bool(until) or bool(epochs.proposals(conference.persons))
    if is_open or conference.proving or effects:
        conference.proving = is_open
        effects += tell(conference, now)
    conference.proved_for = epochs.version, conference.arrivals
    return effects


def handle_timeout(conference: Conference, now: float) -> list[Effect]:
    """Whoever could not prove the current epoch in time is out."""
    effects: list[Effect] = []
    for number in [number for number, until in conference.grace.items() if until <= now]:
        message = "The conference has a new ticket, which this device did not get: join again."
        effects += conference.end(conference.members[number], names.TICKET_EXPIRED, message, now)
    return effects


def tell(conference: Conference, now: float) -> list[Effect]:
    """P.epoch to those for whom it is another than they know."""
    epochs = conference.admission.epochs
    proposals = epochs.proposals(conference.persons)
    effects: list[Effect] = []
    for member in conference.members.values():
        if not member.channel_open:
            continue
        proved = epochs.has_proved(member.number, epochs.current)
        proposed = [
            {
                "epoch": each.epoch.number,
                "verifier": unpadded(each.epoch.verifier),
                "proved": each.proved,
                "of": each.of,
                "yours": epochs.has_proved(member.number, each.epoch),
            }
            for each in proposals
        ]
        content: dict[str, Any] = {
            "epoch": epochs.current.number,
            "verifier": unpadded(epochs.current.verifier),
            "proved": proved,
            "proposed": proposed,
        }
        if content == member.told.epoch:
            continue
        member.told.epoch = content
        until = conference.grace.get(member.number)
        grace_ms = None if until is None else max(0, int((until - now) * 1000))
        effects.append(SendChannel(member.transport.id, names.EPOCH, {**content, "grace_ms": grace_ms}))
    return effects


def _check(conference: Conference, member: Member, said: Prove) -> Epoch:
    current = conference.admission.epochs.current
    epoch = Epoch(said.epoch, said.verifier)
    if said.epoch < current.number:
        raise TicketError(names.TICKET_EXPIRED, "This epoch is over: prove the current one.", "epoch")
    if said.epoch == current.number and epoch != current:
        raise TicketError(names.TICKET_INVALID, "Another ticket of this epoch is current.", "verifier")
    if said.epoch > current.number + limits.EPOCHS_AHEAD:
        raise TicketError(names.TICKET_INVALID, "This epoch's number is too far ahead.", "ahead")
    if not is_verifier(said.verifier):
        raise TicketError(names.TICKET_INVALID, "The verifier is not an Ed25519 public key.", "verifier")
    text = epoch_proof_text(
        conference.conference_id,
        conference.creator,
        said.epoch,
        member.user_id,
        member.device_id,
        member.call.call_id,
    )
    if not verify(said.verifier, said.proof, text):
        raise TicketError(names.TICKET_INVALID, "The proof does not match the epoch's verifier.", "proof")
    return epoch
