"""Dependency descriptors read by the core and by a plain reading of the specification's appendix."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath_ext.packet_layers import DependencyReader, DescriptorError


class Malformed(Exception):
    """Read past the end, or of layers and templates that cannot be."""


class Bits:
    def __init__(self, data: bytes) -> None:
        self.bits = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def f(self, count: int) -> int:
        if self.at + count > len(self.bits):
            raise Malformed
        value = int(self.bits[self.at : self.at + count] or "0", 2)
        self.at += count
        return value

    def ns(self, n: int) -> int:
        width = n.bit_length()
        shorter = (1 << width) - n
        value = self.f(width - 1)
        return value if value < shorter else (value << 1) - shorter + self.f(1)


@dataclass
class Structure:
    offset: int
    targets: int
    layers: list[tuple[int, int]] = field(default_factory=list)
    dtis: list[list[int]] = field(default_factory=list)
    fdiffs: list[list[int]] = field(default_factory=list)
    chains: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)


def read_structure(bits: Bits) -> Structure:
    structure = Structure(bits.f(6), bits.f(5) + 1)
    spatial = temporal = following = 0
    while following != 3:
        if len(structure.layers) == 64:
            raise Malformed
        structure.layers.append((spatial, temporal))
        following = bits.f(2)
        if following == 1:
            temporal += 1
        elif following == 2:
            spatial, temporal = spatial + 1, 0
        if spatial > 3 or temporal > 7:
            raise Malformed
    structure.dtis = [[bits.f(2) for _ in range(structure.targets)] for _ in structure.layers]
    for _ in structure.layers:
        differences = []
        while bits.f(1):
            differences.append(bits.f(4) + 1)
        structure.fdiffs.append(differences)
    structure.chains = bits.ns(structure.targets + 1)
    if structure.chains:
        for _ in range(structure.targets):
            bits.ns(structure.chains)
        bits.f(4 * structure.chains * len(structure.layers))
    if bits.f(1):
        structure.sizes = [(bits.f(16) + 1, bits.f(16) + 1) for _ in range(spatial + 1)]
    return structure


def read(data: bytes, known: Structure | None) -> tuple[dict[str, Any] | None, Structure | None]:
    if len(data) < 3:
        raise Malformed
    bits = Bits(data)
    frame: dict[str, Any] = {"start": bool(bits.f(1)), "end": bool(bits.f(1))}
    template = bits.f(6)
    frame["number"] = bits.f(16)
    attached, active, dtis, fdiffs, chains = (bits.f(1) if len(data) > 3 else 0 for _ in range(5))
    structure = read_structure(bits) if attached else known
    if structure is None:
        return None, None
    frame["key"] = bool(attached and frame["start"])
    frame["active"] = bits.f(structure.targets) if active else 0
    which = (template - structure.offset) % 64
    if which >= len(structure.layers):
        raise Malformed
    frame["spatial"], frame["temporal"] = structure.layers[which]
    frame["dtis"] = (
        tuple(bits.f(2) for _ in range(structure.targets)) if dtis else tuple(structure.dtis[which])
    )
    differences = structure.fdiffs[which]
    if fdiffs:
        differences = []
        while size := bits.f(2):
            differences.append(bits.f(4 * size) + 1)
    frame["fdiffs"] = tuple(differences[:8])
    if chains:
        bits.f(8 * structure.chains)
    width, height = structure.sizes[frame["spatial"]] if structure.sizes else (0, 0)
    frame["size"] = (width & 0xFFFF, height & 0xFFFF)
    return frame, structure


def compare(reader: DependencyReader, data: bytes, known: Structure | None) -> Structure | None:
    """Both read it; the structure known afterwards."""
    try:
        wanted, structure = read(data, known)
    except Malformed:
        # Which of the two it is follows from frame numbers, of which the plain reading knows nothing.
        with contextlib.suppress(DescriptorError):
            assert reader.read(data) is None
        return known
    found = reader.read(data)
    if found is None:
        assert wanted is None or known is not None  # late: of a structure replaced since
        return known
    assert wanted is not None
    assert {name: found[name] for name in wanted} == wanted
    return structure


def descriptors(vectors: Path, name: str) -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for case in json.loads((vectors / name).read_text())["cases"]]


def test_those_of_another_bridge_in_order(vectors: Path) -> None:
    reader, known = DependencyReader(), None
    for data in descriptors(vectors, "av1-dd/dependency-descriptors.json"):
        known = compare(reader, data, known)
    assert known is not None


def test_those_of_a_fuzzer(vectors: Path) -> None:
    for blob in descriptors(vectors, "libwebrtc-fuzz/dependency_descriptor-corpus.json"):
        for at in range(len(blob)):
            compare(DependencyReader(), blob[at : at + 255], None)


def test_key_frames_are_for_everybody(vectors: Path) -> None:
    """Whatever the spatial layers, whose frames are in no target of another size."""
    keys = 0
    for data in descriptors(vectors, "av1-dd/dependency-descriptors.json"):
        with contextlib.suppress(DescriptorError):
            frame = DependencyReader().read(data)
            if frame is not None and frame["key"]:
                assert (frame["needed"], frame["switch_up"]) == (0xFF, 0xFF)
                keys += 1
    assert keys > 5


@pytest.mark.parametrize("length", [0, 1, 2, 256])
def test_no_descriptor_has_this_length(length: int) -> None:
    with pytest.raises(DescriptorError):
        DependencyReader().read(bytes(length))


@st.composite
def attached_structures(draw: st.DrawFn) -> bytes:
    """A key frame whose structure begins soundly; what follows it is chance."""
    path, spatial, temporal = [], 0, 0
    for step in draw(st.lists(st.sampled_from([0, 0, 1, 1, 2]), max_size=12)):
        if (step == 1 and temporal == 7) or (step == 2 and spatial == 3):
            step = 0
        spatial, temporal = (spatial + 1, 0) if step == 2 else (spatial, temporal + (step == 1))
        path.append(step)
    offset, targets = draw(st.integers(0, 63)), draw(st.integers(1, 8))
    template = (offset + draw(st.integers(0, len(path)))) % 64
    bits = f"10{template:06b}{draw(st.integers(0, 0xFFFF)):016b}1{draw(st.integers(0, 15)):04b}"
    bits += f"{offset:06b}{targets - 1:05b}" + "".join(f"{step:02b}" for step in [*path, 3])
    rest = draw(st.binary(min_size=10, max_size=120))
    bits += "".join(f"{byte:08b}" for byte in rest)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")[:255]


@settings(max_examples=400, deadline=None)
@given(attached_structures(), st.lists(st.binary(max_size=20), max_size=5))
def test_whatever_comes(key: bytes, following: list[bytes]) -> None:
    reader = DependencyReader()
    known = compare(reader, key, None)
    for data in following:
        known = compare(reader, key[:1] + key[1:3] + data, known)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=255))
def test_any_bytes(data: bytes) -> None:
    compare(DependencyReader(), data, None)
