"""What the core sends, decrypted on the hop, is dissected by tshark: nothing of it is malformed."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.protocol.rows import SrtpProfile
from fastpath_ext import packet
from tests import synthetic
from tests.fastpath.test_forward import Room

RTP_PORT, RTCP_PORT = 40000, 40001


def pcap(datagrams: list[tuple[int, bytes]]) -> bytes:
    """A capture of UDP over IPv4, each datagram with its destination port; a millisecond between them."""
    written = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 228)
    for n, (port, data) in enumerate(datagrams):
        udp = struct.pack("!HHHH", 5000, port, 8 + len(data), 0) + data
        ip = struct.pack(
            "!BBHHHBBHII", 0x45, 0, 20 + len(udp), n & 0xFFFF, 0, 64, 17, 0, 0xC0000201, 0xC0000202
        )
        total = sum(struct.unpack("!10H", ip))
        total = (total & 0xFFFF) + (total >> 16)
        ip = ip[:10] + struct.pack("!H", 0xFFFF - (total + (total >> 16)) & 0xFFFF) + ip[12:]
        written += struct.pack("<IIII", n // 1000, n % 1000 * 1000, len(ip + udp), len(ip + udp)) + ip + udp
    return written


class Dissection:
    """What tshark sees in a capture."""

    def __init__(self, folder: Path, datagrams: list[tuple[int, bytes]]) -> None:
        self.file = folder / "sent.pcap"
        self.file.write_bytes(pcap(datagrams))

    def _tshark(self, *arguments: str) -> list[str]:
        command = ["tshark", "-n", "-r", str(self.file)]
        for how in (f"udp.port=={RTP_PORT},rtp", f"udp.port=={RTCP_PORT},rtcp", "rtp.pt==120,vp8"):
            command += ["-d", how]
        ran = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=True)
        return ran.stdout.splitlines()

    def complaints(self) -> list[str]:
        """Malformed packets, and whatever else it warns of or calls an error.

        A key frame of ours has no start code: what stands there is as good as sealed.
        """
        warned = "_ws.expert.severity >= 0x600000 && !vp8.keyframe.startcode"
        return self._tshark("-Y", f"_ws.malformed || ({warned}) || rtcp.length_check == 0")

    def protocols(self) -> Counter[str]:
        return Counter(line.split(":")[-1] for line in self._tshark("-T", "fields", "-e", "frame.protocols"))

    def fields(self, *names: str, where: str) -> Iterator[list[str]]:
        wanted = [argument for name in names for argument in ("-e", name)]
        for line in self._tshark(
            "-T", "fields", "-E", "occurrence=a", "-E", "separator=/t", *wanted, "-Y", where
        ):
            yield line.split("\t")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bytes]]:
    """What participants decrypted, RTP and RTCP."""
    seen: list[tuple[int, bytes]] = []
    for name, port in (("read_rtp", RTP_PORT), ("read_rtcp", RTCP_PORT)):
        read = getattr(synthetic, name)

        def keep(plain: bytes, port: int = port, read: object = read) -> object:
            seen.append((port, plain))
            return read(plain)  # type: ignore[operator]

        monkeypatch.setattr(synthetic, name, keep)
    return seen


pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def busy_call(profile: SrtpProfile) -> Room:
    """Loss on both sides, key frames asked for, sizes changed, numbered packets: a bit of everything."""
    room = Room(3, profile)
    first, second, third = room.people
    for one in room.people:
        one.transport_number = 65000
    room.publish()
    for i in range(150):
        for one in (first, second):
            packets = [
                one.opus(),
                *one.frame(0, key=i % 30 == 0, packets=2, now=room.now / 1e9),
                *one.frame(2, key=i % 30 == 0, packets=4, now=room.now / 1e9),
            ]
            room.send(one, *(packet for n, packet in enumerate(packets) if (i * 7 + n) % 31))
            room.send(one, *one.retransmissions())
        slot = room.meeting.ssrc(2, i // 50 % 2, True)
        got = third.of(slot)
        if got and i % 5 == 0:
            room.send(third, third.nack(slot, *(got[-1].sequence - n for n in range(3))))
        if i % 40 == 20:
            room.send(third, third.pli(slot))
            room.meeting.subscribe(2, i // 40 % 2, 2, pair=0)
            room.publish()
        room.advance(20)
    return room


@pytest.mark.parametrize("profile", [SrtpProfile.AES128_CM_SHA1_80, SrtpProfile.AEAD_AES_256_GCM])
def test_nothing_the_core_sends_is_malformed(
    sent: list[tuple[int, bytes]], tmp_path: Path, profile: SrtpProfile
) -> None:
    room = busy_call(profile)
    assert [one.refused for one in room.people] == [[], [], []]
    dissection = Dissection(tmp_path, sent)
    assert dissection.complaints() == []
    protocols = dissection.protocols()
    by_port = Counter(port for port, _ in sent)
    assert protocols["rtcp"] == by_port[RTCP_PORT] > 100
    assert protocols["rtp"] + protocols["vp8"] == by_port[RTP_PORT] > 1000
    assert protocols["vp8"] > 500
    kinds: Counter[str] = Counter()
    for (types,) in dissection.fields("rtcp.pt", where="rtcp"):
        kinds.update(types.split(","))
        assert types.startswith("201"), "a report stands first"
    assert kinds.keys() == {"200", "201", "202", "205", "206"}
    formats = {form for (form,) in dissection.fields("rtcp.rtpfb.fmt", where="rtcp.rtpfb.fmt")}
    assert formats == {"1", "15"}
    found = dissection.fields("rtcp.psfb.fmt", where="rtcp.psfb.fmt")
    formats = {form for (forms,) in found for form in forms.split(",")}
    assert formats == {"1", "15"}


def test_it_reads_the_numbers_we_mean(sent: list[tuple[int, bytes]], tmp_path: Path) -> None:
    """Sender reports, estimates and limits as fields of another implementation."""
    report = packet.rtcp_sr(0x1234, ntp=0x83AA7E80_80000000, timestamp=77, packets=5, octets=6)
    estimate = packet.rtcp_remb(1, 1_700_000, [2, 3])
    limit = packet.rtcp_tmmbr(1, [(2, 1_234_567, 52)])
    note = packet.rtcp_tmmbr(2, [(1, 1_234_567, 52)], notification=True)
    refresh = packet.rtcp_fir(1, 2, 200)
    name = packet.rtcp_sdes(1, b"sotto-00000001") + packet.rtcp_bye(1)
    blocks = [report, estimate, limit, note, refresh, name]
    dissection = Dissection(tmp_path, [(RTCP_PORT, packet.rtcp_rr(1, []) + block) for block in blocks])
    assert dissection.complaints() == []

    def only(*names: str) -> list[str]:
        (row,) = dissection.fields(*names, where=names[0])
        return row

    assert only("rtcp.timestamp.rtp", "rtcp.sender.packetcount", "rtcp.sender.octetcount") == ["77", "5", "6"]
    assert only("rtcp.psfb.remb.fci.br_mantissa", "rtcp.psfb.remb.fci.br_exp") == ["212500", "3"]
    limits = [f"rtcp.rtpfb.tmmbr.fci.{part}" for part in ("ssrc", "mantissa", "exp", "measuredoverhead")]
    assert list(dissection.fields(*limits, where=limits[0])) == [
        ["0x00000002", "77160", "4", "52"],
        ["0x00000001", "77160", "4", "52"],
    ]
    assert only("rtcp.psfb.fir.fci.csn") == ["200"]
    assert only("rtcp.sdes.text") == ["sotto-00000001"]


@pytest.mark.parametrize("cut", [4, 8, 12])
def test_it_would_complain(tmp_path: Path, cut: int) -> None:
    """So that the silence above means something."""
    spoilt = packet.rtcp_rr(1, []) + packet.rtcp_remb(1, 2, [3])[:-cut]
    assert Dissection(tmp_path, [(RTCP_PORT, spoilt)]).complaints()
