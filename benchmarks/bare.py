"""The two loops beside which the worker is measured; see load/bare.c."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.network import DEVICE, HOP_LINK, SERVER_ADDRESS, Network, member_address, server_core
from benchmarks.plan import CLIENT_PORT, Plan
from benchmarks.server import LOAD, ROOT, niced, start_generator

BARE, RAW = ROOT / "build/bench/bare", ROOT / "build/bench/raw"


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


def listed(numbers: int | tuple[int, ...]) -> str:
    return str(numbers) if isinstance(numbers, int) else ",".join(map(str, numbers))
