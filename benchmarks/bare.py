"""The loops beside which the worker is measured; see load/bare.c, load/raw.c and load/take.c."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.network import (
    DEVICE,
    HOP_LINK,
    SERVER_ADDRESS,
    Network,
    client_core,
    member_address,
    server_core,
)
from benchmarks.plan import CLIENT_PORT, Plan
from benchmarks.server import LOAD, ROOT, niced, start_generator

BARE, RAW, TAKE = (ROOT / "build/bench" / name for name in ("bare", "raw", "take"))
TAKE_PORT = 4000


@dataclass(frozen=True, slots=True)
class Loop:
    us: float
    """CPU time per packet sent."""
    pps: float
    busy: float


def measure(
    network: Network,
    mode: str,
    *,
    receivers: int = 100,
    packets: int | tuple[int, ...] = 8,
    size: int | tuple[int, ...] = 1112,
    bursts: float = 240.0,
    seconds: float = 2.0,
    raw: bool = False,
) -> Loop:
    """Runs `bare` in the server's namespace while a generator without members takes what it sends.
    Lists of `packets` and `size`: bursts in turns."""
    with tempfile.NamedTemporaryFile(suffix=".plan") as file:
        Plan().write(Path(file.name), [], warm_s=0, measure_s=seconds + 1.5)
        taker = start_generator(network, [str(LOAD), file.name])
        try:
            done = subprocess.run(
                ["ip", "netns", "exec", network.server, *niced(server_core()), str(RAW if raw else BARE),
                 mode, member_address(0), str(CLIENT_PORT),
                 str(receivers), listed(packets), listed(size), str(bursts), str(seconds),
                 *([DEVICE, SERVER_ADDRESS, HOP_LINK] if raw else [])],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
        finally:
            taker.wait()
    result = json.loads(done.stdout)
    return Loop(result["us"], result["sent"] / result["seconds"], result["cpu_s"] / result["seconds"])


def receive(
    network: Network,
    mode: str,
    *,
    gather_us: int,
    packets: int = 8,
    size: int = 1112,
    bursts: float,
    seconds: float = 2.0,
) -> Loop:
    """Runs `take` in the server's namespace while `bare` sends it so many bursts a second, one packet a
    message. `us` is of a packet received."""
    taker = subprocess.Popen(
        ["ip", "netns", "exec", network.server, *niced(server_core()), str(TAKE),
         mode, str(gather_us), str(TAKE_PORT), str(seconds)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert taker.stdout is not None
    try:
        if taker.stdout.readline() != "ready\n":
            raise RuntimeError("the receiving loop does not start")
        subprocess.run(
            ["ip", "netns", "exec", network.client, *niced(client_core()), str(BARE),
             "single", SERVER_ADDRESS, str(TAKE_PORT), "1", str(packets), str(size), str(bursts),
             str(seconds + 0.5)],
            check=True, capture_output=True,
        )  # fmt: skip
        result = json.loads(taker.stdout.read())
    finally:
        taker.kill()
        taker.wait()
    if not result["taken"] or result["refused"]:
        raise RuntimeError(f"{result['refused']} of {result['taken']} packets did not authenticate")
    return Loop(
        result["cpu_s"] / result["taken"] * 1e6,
        result["taken"] / result["seconds"],
        result["cpu_s"] / result["seconds"],
    )


def listed(numbers: int | tuple[int, ...]) -> str:
    return str(numbers) if isinstance(numbers, int) else ",".join(map(str, numbers))
