"""Rows of joins: the real control plane and a real worker, members with true DTLS and SCTP; no homeserver.

What a homeserver would carry - invites and answers - is handed over in this process; see matrix.py for that.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.chaos.rows import Rows
from control.protocol import names
from tests.io.devices import CREATOR, Device, Place

SPRAY = r"""
import os, socket, sys, time
port, rate = int(sys.argv[1]), int(sys.argv[2])
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(200)]
for one in sockets:
    one.setblocking(False)
body = os.urandom(32)
# A ClientHello as scanners and the attacks of 2023 sent them: NULL ciphers only, no cookie, no fragment.
hello = b"\xfe\xfd" + body + b"\0\0\0\4\0\2\0\1\1\0"
hello = b"\1" + len(hello).to_bytes(3, "big") + b"\0\0" + bytes(3) + len(hello).to_bytes(3, "big") + hello
record = b"\x16\xfe\xfd" + bytes(8) + len(hello).to_bytes(2, "big") + hello
began, sent = time.monotonic(), 0
while True:
    due = int((time.monotonic() - began) * rate)
    for _ in range(min(due - sent, 500)):
        try:
            sockets[sent % 200].sendto(record, ("127.0.0.1", port))
        except OSError:
            pass
        sent += 1
    got = 0
    if sent % 5000 < 50:
        for one in sockets:
            try:
                got += len(one.recv(2048))
            except OSError:
                pass
        print(sent, got, round(time.monotonic() - began, 3), flush=True)
    time.sleep(0.001)
"""


async def _join(place: Place, index: int, patience_s: float) -> Device | None:
    """As a client: a call, checks, DTLS with its repetitions, the data channel."""
    device = Device(place, CREATOR if index == 0 else f"@person{index}:example.org", f"device{index}")

    async def repeat() -> None:
        while True:
            await asyncio.sleep(0.5)
            for datagram in device.dtls.step():
                device.send_datagram(datagram)

    repeating = asyncio.create_task(repeat())
    try:
        async with asyncio.timeout(patience_s):
            await (await (await device.call(_SHAPE)).connect()).open()
            await device.until(names.WELCOME)
    except (TimeoutError, AssertionError):
        return None
    finally:
        repeating.cancel()
    return device


_SHAPE: dict[str, Any] = {"pairs": 1}


async def spray(rows: Rows, quick: bool) -> None:
    """ClientHellos from 200 ports at 10,000 a second while 200 people join."""
    place, wanted = Place((256, 1024, 4096)), 200
    port = place.socket.getsockname()[1]
    sprayer = subprocess.Popen(  # noqa: ASYNC220 - before anything else happens
        [sys.executable, "-c", SPRAY, str(port), "10000"], stdout=subprocess.PIPE, text=True
    )
    began = time.monotonic()
    try:
        await asyncio.sleep(0.5)
        joined: list[Device] = []
        for first in range(0, wanted, 10):
            several = await asyncio.gather(*(_join(place, first + i, 20.0) for i in range(10)))
            joined += [each for each in several if each is not None]
        took = time.monotonic() - began
    finally:
        sprayer.kill()
        said, _ = sprayer.communicate()
    lines = [line.split() for line in said.splitlines()]
    sent, seconds = (int(lines[-1][0]), float(lines[-1][2])) if lines else (0, 1.0)
    got = sum(int(line[1]) for line in lines)
    rows.add(
        "joins_under_clienthello_spray", len(joined), "joins",
        f"of {wanted} in {took:.1f} s, {sent / seconds:.0f} hellos/s, {got} bytes to the sprayer",
    )  # fmt: skip
    for device in joined:
        device.close()
    await place.close()


async def resume_all(rows: Rows, quick: bool) -> None:
    """Control is killed; all its members come back over HTTP tokens, after 0 to 2 s at random each."""
    place, count = Place((256, 1024, 4096)), 100
    inside: list[Device] = []
    for first in range(0, count, 10):
        inside += [each for i in range(10) if (each := await _join(place, first + i, 30.0)) is not None]
    await place.kill_control()
    began = time.monotonic()
    place.start_control()

    async def back(index: int, former: Device) -> Device | None:
        await asyncio.sleep(2.0 * index / count)
        try:
            return await Device(place, former.user_id, former.name).resume(former, _SHAPE)
        except (TimeoutError, AssertionError):
            return None

    again = await asyncio.gather(*(back(index, each) for index, each in enumerate(inside)))
    took = time.monotonic() - began
    came = [each for each in again if each is not None]
    note = f"{len(came)} of {count} members came back; members and control share this process's core"
    rows.add("resumed_all_s", took if len(came) == count else 60.0, "s", note)
    for device in (*inside, *came):
        device.close()
    await place.close()


async def _guarded(step: Callable[[Rows, bool], Awaitable[None]], rows: Rows, quick: bool) -> None:
    # Devices that are closed while others still tell them something say so for each message.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    began = time.monotonic()
    try:
        async with asyncio.timeout(120):
            await step(rows, quick)
    except (AssertionError, OSError, TimeoutError, ValueError) as error:
        rows.broke(step.__name__, error)
    print(f"  ({step.__name__}: {time.monotonic() - began:.1f} s)", flush=True)


STEPS = (spray, resume_all)


def run(rows: Rows, quick: bool, wanted: Callable[[str], bool]) -> None:
    import uvloop

    for step in STEPS:
        if wanted(step.__name__):
            uvloop.run(_guarded(step, rows, quick))
