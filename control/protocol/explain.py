"""Why can this person not see or hear? From what the server knows of one member, in words with a next
step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from control.protocol import names
from control.protocol.callbook import DTLS, ICE, Record

QUIET_S = 8.0
"""Clients check their path every 2.5 to 5 s; after this something is wrong. Lower: false alarms."""
SILENT_S = 3.0
"""A source that sends nothing for so long does not send. Opus with DTX sends every 0.4 s."""
LOSSY = 0.05
"""Loss from which people notice."""
DISTANT_MS = 400.0
_NOTHING_ARRIVES: Final = (
    "Open the media ports (UDP) in the firewall; behind a NAT set [media].advertise to the address people"
    " reach; `sotto doctor` tests both."
)


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One microphone, camera or screen."""

    name: str
    muted: bool
    silent_s: float | None
    """Since the last packet of any encoding, of either form; None = none ever came."""
    sealed_silent_s: float | None = None
    """Since the last packet of its sealed form; None = none ever came."""


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """What is known of one member now."""

    state: str
    """Of control.protocol.call.State."""
    heard_s: float | None
    """Since the last authenticated check; None = none ever came."""
    sources: tuple[SourceFacts, ...] = ()
    round_trip_ms: float = 0.0
    estimate_bps: int = 0
    wanted_bps: int = 0
    paused: int = 0
    lost: float = 0.0
    """Share of packets to it that were lost, worst slot."""
    slots_used: int = 0
    """Those that carry something, and sealed sources that come."""
    sealed: int = 0
    """Of these, sealed sources."""
    others: int = 0
    """Members of the conference beside it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so, and what to do about it."""

    level: str
    """"ok", "warning" or "error"."""
    text: str
    fix: str = ""


def explain(facts: MemberFacts) -> list[Finding]:
    """In the order in which a call comes about: what is broken first hides the rest."""
    findings = list(_path(facts))
    if any(finding.level == "error" for finding in findings):
        return findings
    findings += [*_sends(facts), *_receives(facts)]
    if all(finding.level == "ok" for finding in findings):
        findings.append(
            Finding(
                "ok",
                "From here nothing is wrong. What is left is in the clients: keys (the lock on a tile), the"
                " chosen microphone, camera and loudspeaker.",
            )
        )
    return findings


def _path(facts: MemberFacts) -> Iterator[Finding]:
    if facts.heard_s is None:
        yield Finding(
            "error",
            "The call was answered, but not one packet of theirs has arrived.",
            _NOTHING_ARRIVES,
        )
    elif facts.heard_s > QUIET_S:
        yield Finding(
            "error",
            f"Nothing has been heard of them for {facts.heard_s:.0f} s.",
            "Their network or device went away. They are put out after 30 s and can join again.",
        )
    elif facts.state in ("answered", "connected"):
        yield Finding(
            "error",
            "Their packets arrive, but the encrypted connection (DTLS) does not come about.",
            "Something on their path eats larger UDP packets: a VPN with a small MTU, or a filter.",
        )
    elif facts.state == "secured":
        yield Finding(
            "warning",
            "Media is connected; the data channel is not: they see no changes of who is there.",
            "Their client has 30 s to open it; afterwards the call ends and they join again.",
        )
    else:
        yield Finding("ok", f"Connected; the round trip takes {facts.round_trip_ms:.0f} ms.")
        if facts.round_trip_ms > DISTANT_MS:
            yield Finding("warning", "That is far: people will talk at the same time.")


def _sends(facts: MemberFacts) -> Iterator[Finding]:
    if not facts.sources:
        yield Finding("warning", "They send nothing: no microphone and no camera.", "Ask what they allowed.")
    for source in facts.sources:
        if source.muted:
            yield Finding("ok", f"{source.name}: muted by themselves.")
        elif source.silent_s is None:
            yield Finding(
                "warning",
                f"{source.name}: promised, but nothing has ever come.",
                "Nobody views it, or their device gives nothing; another program may hold it.",
            )
        elif source.silent_s > SILENT_S:
            yield Finding("warning", f"{source.name}: nothing for {source.silent_s:.0f} s.")
        elif source.sealed_silent_s is not None and source.sealed_silent_s <= SILENT_S:
            yield Finding("ok", f"{source.name}: arrives, sealed end to end as RTP.")
        else:
            yield Finding("ok", f"{source.name}: arrives.")


def _receives(facts: MemberFacts) -> Iterator[Finding]:
    if facts.others == 0:
        yield Finding("ok", "They are alone in the conference.")
        return
    if facts.slots_used == 0:
        yield Finding(
            "warning",
            "Nothing is forwarded to them.",
            "The others send nothing, or their client asked for nothing.",
        )
    if facts.sealed:
        yield Finding("ok", f"{facts.sealed} of the sources they get come sealed as RTP, on no slot.")
    carries = f"Their network carries {facts.estimate_bps / 1000:.0f} kbit/s"
    if facts.paused:
        yield Finding(
            "warning",
            f"{carries}; what they want to see needs {facts.wanted_bps / 1000:.0f}. {facts.paused} pictures"
            " are paused.",
            "A better network, or fewer and smaller tiles.",
        )
    elif facts.estimate_bps and facts.estimate_bps < facts.wanted_bps:
        yield Finding(
            "ok",
            f"{carries}, of the {facts.wanted_bps / 1000:.0f} they could use: they get smaller pictures.",
        )
    if facts.lost > LOSSY:
        yield Finding(
            "warning",
            f"{facts.lost:.0%} of what is sent to them is lost.",
            "A weak radio link, or a queue that overflows on their side.",
        )


_REFUSED: Final[dict[str, str]] = {
    names.STALE: "The homeserver brought the call late: look at sotto_matrix_sync_age_seconds and its load.",
    names.TICKET_EXPIRED: "Their clock, or this machine's, is wrong: `sotto doctor` looks at this one.",
    names.TICKET_MISSING: "They called the bot as if it were a person: join from a room's conference.",
    names.NOT_ALLOWED: "[server].allowed_servers does not name their homeserver.",
    names.CONFERENCE_UNKNOWN: "It has ended: they start another in the room.",
    names.FULL: "More workers, or fewer in one conference; docs/operations.md has the sizes.",
    names.SHUTTING_DOWN: "The server is being stopped; they join again in a minute.",
    "draining": "`sotto drain --off` lets new conferences in again.",
    names.INVITE_MALFORMED: "Their client says what this server does not understand: which version is it?",
}
"""What an operator can do about a refusal; what is not here is for the client to mend."""
_ENDED: Final[dict[str, tuple[str, str, str]]] = {
    "hangup": ("ok", "They left.", ""),
    "closed": ("ok", "Their client closed the connection.", ""),
    names.REPLACED: ("ok", "Their device joined again with a new call.", ""),
    names.SHUTTING_DOWN: ("warning", "The server was stopped.", ""),
    names.DTLS_FAILED: (
        "error",
        "The encrypted connection (DTLS) or its data channel did not come about.",
        "Something on their path eats larger UDP packets: a VPN with a small MTU, or a filter.",
    ),
}


def explain_past(record: Record, now: float) -> list[Finding]:
    """Of a call that is not there any more, or never was let in."""
    ago = f"{now - (record.ended_at if record.ended_at is not None else record.began):.0f} s ago"
    if record.refused:
        fix = _REFUSED.get(record.code, "They are told the same; their client offers to try again.")
        return [Finding("error", f"Refused {ago} ({record.code}): {record.text}", fix)]
    if record.code == names.ICE_FAILED and ICE not in record.at:
        return [
            Finding(
                "error",
                f"Ended {ago}: the call was answered, but not one packet of theirs has arrived.",
                _NOTHING_ARRIVES,
            )
        ]
    if record.code == names.ICE_FAILED and DTLS in record.at:
        text = f"Ended {ago}: nothing came from them for 30 s."
        return [Finding("error", text, "Their network or device went away; they can join again.")]
    code = names.DTLS_FAILED if record.code == names.ICE_FAILED else record.code
    level, text, fix = _ENDED.get(code, ("warning", f"They were put out ({record.code}).", ""))
    return [Finding(level, f"Ended {ago}: {text}", fix)]
