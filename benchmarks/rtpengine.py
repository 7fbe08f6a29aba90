"""rtpengine from the distribution's package beside us: one publisher in plain RTP, 100 subscribers in SRTP.

It runs in the server's namespace with one thread and without its kernel module, driven by its control
protocol (bencoded dictionaries over UDP: publish, subscribe request, subscribe answer), with
AES_CM_128_HMAC_SHA1_80. Its packets are counted by the generator's ring, its CPU time by the system's
account, as the worker's. Our side is measured with the same profile in the same run.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import workloads
from benchmarks.network import SERVER_ADDRESS, Network, member_address, server_core
from benchmarks.plan import CLIENT_PORT, Encoding, Plan
from benchmarks.server import LOAD, niced, process_cpu_s, start_generator
from control.protocol.rows import SrtpProfile

if TYPE_CHECKING:
    from benchmarks.sections import Bench

KEYS = "inline:" + "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


def section(bench: "Bench") -> None:
    figures = bench.figures
    program = shutil.which("rtpengine")
    if program is None:
        figures.absent("vs_rtpengine_srtp", "not installed", "times")
        return
    bench.network.device_segments(True)
    for _ in range(bench.repeat):
        theirs = measure(bench, program)
        plan = Plan(profile=SrtpProfile.AES128_CM_SHA1_80)
        for conference in range(4):
            workloads.FANOUT.build(plan, conference, 0, 1.0)
        ours = bench.run(plan, "ours with AES_CM_80")
        bench.say(f"rtpengine: {theirs:.2f} us")
        figures.add("rtpengine_srtp_us", theirs, "us/packet")
        figures.add("fanout_video_cm_us", ours.us, "us/packet", note="AES_CM_128_HMAC_SHA1_80")
        figures.add("vs_rtpengine_srtp", theirs / ours.us, "times", "higher")
    bench.point("systems", 0, figures.value("rtpengine_srtp_us") or 0, "rtpengine, SRTP")
    bench.point("systems", 0, figures.value("fanout_video_cm_us") or 0, "fanout_video with its profile")


def measure(bench: "Bench", program: str, receivers: int = 100, fps: float = 60.0) -> float:
    """us of CPU for each packet it sent."""
    network = bench.network
    with tempfile.TemporaryDirectory() as folder:
        port = 12222
        process = subprocess.Popen(
            ["ip", "netns", "exec", network.server, *niced(server_core()), program, "--foreground",
             "--table=-1", f"--interface={SERVER_ADDRESS}", f"--listen-ng=127.0.0.1:{port}",
             "--num-threads=1", "--log-stderr", "--log-level=2", f"--pidfile={folder}/pid",
             "--port-min=20000", "--port-max=40000"],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with network.inside(network.server):
                control = Control(("127.0.0.1", port))
            media = control.connect(receivers)
            plan = PlainPlan(receivers, fps)
            file = Path(folder) / "plan"
            plan.write(file, [(SERVER_ADDRESS, media)], warm_s=1.0, measure_s=bench.measure_s)
            return watched(network, process.pid, file)
        finally:
            process.terminate()
            process.wait()


class PlainPlan(Plan):
    """Member 0 sends plain RTP; the others are a receiver each. No STUN, nothing is decrypted."""

    plain = True

    def __init__(self, receivers: int, fps: float) -> None:
        super().__init__(adaptation=False)
        sender = self.member(0)
        camera = self.video(sender, Encoding(fps=fps, frame_bytes=8 * 1100, payload_max=1100))
        for _ in range(receivers):
            self.watch(self.member(0), camera)


def watched(network: Network, pid: int, file: Path) -> float:
    generator = start_generator(network, [str(LOAD), str(file)])
    assert generator.stdout is not None
    before = after = 0.0
    result: dict[str, Any] = {}
    for line in generator.stdout:
        if line == "begin\n":
            before = process_cpu_s(pid)
        elif line == "end\n":
            after = process_cpu_s(pid)
        elif line.startswith("{"):
            result = json.loads(line)
    generator.wait()
    if not result.get("video_packets"):
        raise RuntimeError("rtpengine forwarded nothing")
    return (after - before) / result["video_packets"] * 1e6


class Control:
    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0.5)
        self._address = address

    def ask(self, **fields: Any) -> dict[str, Any]:
        cookie = os.urandom(6).hex().encode()
        for _ in range(20):  # it may still be starting
            self._socket.sendto(cookie + b" " + encode(fields), self._address)
            try:
                answer = self._socket.recv(65536)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                time.sleep(0.2)
                continue
            got, _ = decode(answer[answer.index(b" ") + 1 :], 0)
            if got.get("result") not in ("ok", "pong"):
                raise RuntimeError(f"rtpengine: {got}")
            return dict(got)
        raise RuntimeError("rtpengine does not answer")

    def connect(self, receivers: int) -> int:
        """The port that takes the publisher's media."""
        offer = sdp(member_address(0), "RTP/AVP", "sendonly")
        answer = self.ask(command="publish", **{"call-id": "bench", "from-tag": "sender"}, sdp=offer)
        for n in range(1, receivers + 1):
            asked = self.ask(
                command="subscribe request",
                **{"call-id": "bench", "from-tag": "sender", "transport-protocol": "RTP/SAVP"},
                flags=[
                    "SDES-no-AEAD_AES_256_GCM",
                    "SDES-no-AEAD_AES_128_GCM",
                    "SDES-no-AES_256_CM_HMAC_SHA1_80",
                ],
            )
            lines = sdp(member_address(n), "RTP/SAVP", "recvonly", crypto=crypto_tag(str(asked["sdp"])))
            self.ask(command="subscribe answer", **{"call-id": "bench", "to-tag": asked["to-tag"]}, sdp=lines)
        return next(int(line.split()[1]) for line in str(answer["sdp"]).splitlines() if line.startswith("m="))


def crypto_tag(offer: str) -> str:
    """The tag of the suite in the offer that we measure with."""
    wanted = next(
        line
        for line in offer.splitlines()
        if line.startswith("a=crypto:") and "AES_CM_128_HMAC_SHA1_80" in line
    )
    return wanted[len("a=crypto:") :].split()[0]


def sdp(address: str, protocol: str, direction: str, crypto: str = "") -> str:
    lines = [
        "v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0",
        f"m=audio {CLIENT_PORT} {protocol} 96", "a=rtpmap:96 opus/48000/2", f"a={direction}",
        *([f"a=crypto:{crypto} AES_CM_128_HMAC_SHA1_80 {KEYS}"] if crypto else []),
    ]  # fmt: skip
    return "\r\n".join(lines) + "\r\n"


def encode(value: Any) -> bytes:
    match value:
        case int():
            return b"i%de" % value
        case str():
            data = value.encode()
            return b"%d:%s" % (len(data), data)
        case list():
            return b"l" + b"".join(map(encode, value)) + b"e"
        case dict():
            return b"d" + b"".join(encode(k) + encode(v) for k, v in sorted(value.items())) + b"e"
    raise TypeError(value)


def decode(data: bytes, at: int) -> tuple[Any, int]:
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at : at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        return (dict(zip(items[::2], items[1::2], strict=True)) if kind == b"d" else items), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode("utf-8", "replace"), end
