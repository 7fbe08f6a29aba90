"""LiveKit's server beside us: one fast camera to 50 real clients, built from the Go module proxy.

Its clients are those of its own tests, in one Go program: they do ICE, DTLS, SRTP and feedback in full. So
its side of the veth pays for their sockets too, which ours does not (network.py): about 0.5 us a packet in
its disfavour. Packets are counted where they leave, checks and feedback among them, in its favour. Our side
is `fanout_video` of the same run.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.network import SERVER_ADDRESS, Network, client_core, server_core
from benchmarks.server import ROOT, niced, process_cpu_s

if TYPE_CHECKING:
    from benchmarks.sections import Bench

VERSION = "v1.13.5"
"""The newest that `go install` takes from the module proxy alone; later ones replace parts by others that are
not there."""
HERE = ROOT / "benchmarks/load_livekit"
BUILT = ROOT / "build/livekit"
BUILD_S = 900
RECEIVERS, FPS = 50, 170.0
"""Some half of its core, as ours is measured: a packet costs it 11 us at 12,000 a second and 7 at 48,000.
More clients than that take more than the core they have."""
KEY, SECRET = "bench", "only-for-this-bench-0123456789abcdef"
CONFIG = f"""port: 7880
bind_addresses: [{SERVER_ADDRESS}]
logging: {{level: error, pion_level: error}}
rtc: {{port_range_start: 20000, port_range_end: 30000, tcp_port: 7881, use_external_ip: false}}
keys: {{{KEY}: {SECRET}}}
"""


def section(bench: "Bench") -> None:
    figures = bench.figures
    ours = figures.value("fanout_video_us")
    if why := built():
        figures.absent("vs_livekit", why, "times")
        return
    for _ in range(bench.repeat):
        try:
            theirs, busy, share = measure(bench.network, max(3.0, bench.measure_s))
        except RuntimeError as error:  # a peer that does not work must not end the whole run
            figures.absent("vs_livekit", f"not measured: {error}", "times")
            return
        note = f"{VERSION}, 1 -> {RECEIVERS} real clients, {busy:.0%} of a core, {share:.0%} of what is due"
        bench.say(f"LiveKit: {theirs:.2f} us, {note}")
        figures.add("livekit_us", theirs, "us/packet", note=note)
        if ours is None:
            figures.absent("vs_livekit", "fanout was not run beside it", "times")
        else:
            figures.add("vs_livekit", theirs / ours, "times", "higher")
    bench.point("systems", 0, figures.value("livekit_us") or 0, "LiveKit, SRTP, real clients")


def built() -> str:
    """Why there is none; empty = both programs are there."""
    if (BUILT / "server").exists() and (BUILT / "load").exists():
        return ""
    go = shutil.which("go")
    if go is None:
        return "not installed: no Go toolchain to build it with"
    BUILT.mkdir(parents=True, exist_ok=True)
    for file in HERE.iterdir():
        shutil.copy(file, BUILT)
    env = {**os.environ, "GOFLAGS": "-mod=mod -modcacherw"}
    for command in (
        ["go", "build", "-o", "server", "github.com/livekit/livekit-server/cmd/server"],
        ["go", "build", "-o", "load", "."],
    ):
        try:
            done = subprocess.run(
                command, cwd=BUILT, env=env, capture_output=True, text=True, timeout=BUILD_S, check=False
            )
        except subprocess.TimeoutExpired:
            return f"not installed: building it took more than {BUILD_S} s"
        if done.returncode:
            return "not installed: " + done.stderr.strip().rpartition("\n")[2]
    return ""


def measure(network: Network, measure_s: float) -> tuple[float, float, float]:
    """(us of CPU for each packet that left its namespace, share of a core, share sent of what is due)."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "livekit.yaml"
        config.write_text(CONFIG)
        server = subprocess.Popen(
            ["ip", "netns", "exec", network.server, *niced(server_core()), str(BUILT / "server"),
             "--config", str(config)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        load = None
        try:
            wait_for_port(network)
            load = subprocess.Popen(
                ["ip", "netns", "exec", network.client, "taskset", "-c", str(client_core()),
                 str(BUILT / "load"), f"ws://{SERVER_ADDRESS}:7880", KEY, SECRET, str(RECEIVERS), str(FPS)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert load.stdout is not None
            if load.stdout.readline() != "ready\n":
                raise RuntimeError(f"LiveKit's clients: {load.communicate()[1].strip()[:300]}")
            time.sleep(3.0)  # what joining cost is over
            packets, cpu, began = sent(network), process_cpu_s(server.pid), time.monotonic()
            time.sleep(measure_s)
            packets, cpu = sent(network) - packets, process_cpu_s(server.pid) - cpu
            took = time.monotonic() - began
            return cpu / packets * 1e6, cpu / took, packets / (RECEIVERS * FPS * 8 * took)
        finally:
            for process in (load, server):
                if process is not None:
                    process.terminate()
                    process.wait()


def wait_for_port(network: Network) -> None:
    for _ in range(100):
        with network.inside(network.client):
            tried = socket.socket()
        with tried:
            try:
                tried.connect((SERVER_ADDRESS, 7880))
                return
            except OSError:
                time.sleep(0.1)
    raise RuntimeError("LiveKit does not answer")


def sent(network: Network) -> int:
    done = subprocess.run(
        ["ip", "netns", "exec", network.server, "cat", "/sys/class/net/bench/statistics/tx_packets"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)
