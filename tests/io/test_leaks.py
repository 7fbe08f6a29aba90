"""People come and go, and nothing of them stays: true DTLS, SCTP and tables in one process."""

import asyncio
import gc
from collections import Counter

import pytest

from control.protocol import limits, names
from tests.io.members import Member, World
from tests.protocol.people import CREATOR

BOOKS = {
    "control.protocol.budget.Budget",  # limits.INVITE_SENDERS_MAX
    "control.protocol.callbook.Record",  # callbook.KEPT
}
"""What remembers people for a while, each up to a number of its own."""


def ours() -> Counter[str]:
    """Living objects of our types, and of those of DTLS, SCTP and the event loop."""
    gc.collect()
    kinds = "control.", "aiortc.", "pyee.", "OpenSSL.", "cryptography.", "asyncio.", "_asyncio.", "uvloop."
    found = (f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter(name for name in found if name.startswith(kinds) and name not in BOOKS)


async def inside(where: World, name: str, user_id: str) -> Member:
    member = Member(where, user_id, name)
    await (await (await member.call()).connect()).open()
    await member.until(names.SEND)
    return member


async def comes_and_goes(where: World, number: int, stays: Member) -> None:
    member = await inside(where, f"device{number}", "@guest:example.org")
    numbered = member.last(names.WELCOME)["member"]
    if number % 2:
        member.say(names.HANGUP, {"reason": "user_hangup"})
    else:
        member.dtls.ssl.shutdown()
        for datagram in member.dtls.take():
            member.send_datagram(datagram)
    (conference,) = where.runtime.focus.conferences.values()
    await where.until(lambda: numbered not in conference.members)
    await where.until(lambda: len(where.worker.writer.table.transport_handles) == 1)
    member.state = "closed"
    await member.sctp.stop()
    del where.worker.members[member.transport]
    where.matrix.clear()
    stays.said.clear()


async def test_nothing_stays_of_those_who_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for rate in ("INVITES_PER_SECOND", "INVITE_BURST", "SERVER_INVITES_PER_SECOND", "SERVER_INVITE_BURST"):
        monkeypatch.setattr(limits, rate, 1_000_000)
    where = World()
    stays = await inside(where, "device", CREATOR)
    for number in range(10):  # caches, and whatever else is made once
        await comes_and_goes(where, number, stays)
    before = ours()
    for number in range(10, 210):
        await comes_and_goes(where, number, stays)
    await asyncio.sleep(0)
    grown = ours() - before
    assert not {name: more for name, more in grown.items() if more > 5}, grown
    (conference,) = where.runtime.focus.conferences.values()
    assert list(conference.members) == [1]
    assert len(conference.rows.ssrcs) == len(conference.members[1].transport._drawn)
    stays.state = "closed"
    await stays.sctp.stop()
    await where.runtime.stop(silent=True)
    where.worker.writer.close()
