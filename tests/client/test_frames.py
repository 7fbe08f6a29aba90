"""SFrame, KIDs, ratchet and keyring: RFC 9605's vectors, ours, and properties."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.keys.frames import BaseKey, ReplayWindow, Sealer, Verdict, clear_bytes, is_audio
from client.keys.keyring import Keyring
from client.keys.kid import Prefix, make_kid, split_kid_untrusted
from client.keys.sframe import KeyOfKid, SframeError, ratchet, read_header_untrusted, write_header
from client.protocol import limits

ROOT = Path(__file__).resolve().parents[2]
OURS = json.loads((ROOT / "docs" / "vectors" / "frames.json").read_text())
RFC = ROOT.parent / "shared" / "vectors" / "sframe-rfc9605" / "test-vectors.json"

KEY_FRAME = bytes.fromhex("10020a9d012a4001b400") + b"picture"
DELTA = bytes.fromhex("b10300") + b"difference"
OPUS = b"\x78sound"


def rfc(part: str) -> list[dict[str, Any]]:
    if not RFC.exists():
        pytest.skip("RFC 9605's vectors are not here")
    found: list[dict[str, Any]] = json.loads(RFC.read_text())[part]
    return found


def test_headers_of_rfc_9605() -> None:
    vectors = rfc("header")
    assert len(vectors) > 50
    for vector in vectors:
        encoded = bytes.fromhex(vector["encoded"])
        assert write_header(vector["kid"], vector["ctr"]) == encoded
        assert read_header_untrusted(encoded + b"more") == (vector["kid"], vector["ctr"], len(encoded))


def test_frames_of_rfc_9605() -> None:
    (vector,) = [each for each in rfc("sframe") if each["cipher_suite"] == 4]
    key = KeyOfKid(bytes.fromhex(vector["base_key"]), vector["kid"])
    metadata, plain, sealed = (bytes.fromhex(vector[name]) for name in ("metadata", "pt", "ct"))
    assert key.seal(vector["ctr"], metadata, plain) == sealed
    _, counter, at = read_header_untrusted(sealed)
    assert key.open_untrusted(counter, sealed[:at], metadata, sealed[at:]) == plain


def test_published_kids_and_steps() -> None:
    for each in OURS["kids"]:
        kid = make_kid(each["member"], each["source"], each["epoch"], each["ratchet"])
        assert f"{kid:010x}" == each["kid"]
        assert split_kid_untrusted(kid) == (
            Prefix(each["member"], each["source"], each["epoch"] % 4096),
            each["ratchet"],
        )
    steps = [bytes.fromhex(each) for each in OURS["ratchet"]]
    assert [ratchet(each) for each in steps[:-1]] == steps[1:]


@pytest.mark.parametrize("vector", OURS["frames"], ids=lambda each: each["what"])
def test_published_frames(vector: dict[str, Any]) -> None:
    frame, sealed = bytes.fromhex(vector["frame"]), bytes.fromhex(vector["sealed"])
    audio = is_audio(vector["source"])
    clear = clear_bytes(audio, frame)
    assert clear == vector["clear_bytes"] == clear_bytes(audio, sealed)
    key = KeyOfKid(bytes.fromhex(vector["base_key"]), int(vector["kid"], 16))
    assert frame[:clear] + key.seal(vector["counter"], frame[:clear], frame[clear:]) == sealed
    keyring = Keyring()
    base = BaseKey(vector["epoch"], vector["ratchet"], bytes.fromhex(vector["base_key"]))
    assert keyring.add(vector["member"], vector["source"], base)
    opened = keyring.open_untrusted(audio, sealed)
    assert (opened.verdict, opened.member, opened.data) == (Verdict.OPENED, vector["member"], frame)


def sealer(member: int = 3, source: int = 1, base: BaseKey | None = None) -> Sealer:
    made = Sealer(member, source)
    made.use(base or BaseKey(0, 0, b"k" * 16))
    return made


def ring(*bases: BaseKey, member: int = 3, source: int = 1) -> Keyring:
    made = Keyring()
    for base in bases or (BaseKey(0, 0, b"k" * 16),):
        assert made.add(member, source, base)
    return made


def sealed(by: Sealer, frame: bytes = DELTA) -> bytes:
    made = by.seal(frame)
    assert made is not None
    return made


def test_nothing_is_sealed_without_a_key_and_nothing_empty() -> None:
    assert Sealer(3, 1).seal(DELTA) is None
    assert sealer().seal(b"") is None


def test_a_frame_opens_once_and_under_its_member_only() -> None:
    by, keys = sealer(), ring()
    frame = sealed(by, KEY_FRAME)
    assert keys.open_untrusted(False, frame).verdict == Verdict.OPENED
    assert keys.open_untrusted(False, frame).verdict == Verdict.REPLAYED
    assert ring(member=4).open_untrusted(False, frame).verdict == Verdict.KEY_MISSING
    assert ring(BaseKey(0, 0, b"x" * 16)).open_untrusted(False, frame).verdict == Verdict.WRONG_KEY


def test_clear_bytes_are_authenticated() -> None:
    frame = bytearray(sealed(sealer()))
    frame[2] ^= 1
    assert ring().open_untrusted(False, bytes(frame)).verdict == Verdict.WRONG_KEY


def test_a_picture_does_not_pass_for_sound() -> None:
    assert ring().open_untrusted(True, sealed(sealer())).verdict == Verdict.NOT_ENCRYPTED


def test_receivers_follow_the_ratchet_forward_and_never_back() -> None:
    base = BaseKey(0, 0, b"k" * 16)
    later = base
    for _ in range(5):
        later = later.stepped()
    behind, ahead = ring(base), ring(later)
    assert behind.open_untrusted(False, sealed(sealer(base=later))).verdict == Verdict.OPENED
    # What was sealed before is still under way.
    assert behind.open_untrusted(False, sealed(sealer(base=base))).verdict == Verdict.OPENED
    # The newcomer was given the later step alone.
    assert ahead.open_untrusted(False, sealed(sealer(base=base))).verdict == Verdict.KEY_MISSING


def test_a_forged_step_far_ahead_costs_no_hashing() -> None:
    by = sealer(base=BaseKey(0, limits.RATCHET_AHEAD_MAX + 1, b"z" * 16))
    assert ring().open_untrusted(False, sealed(by)).verdict == Verdict.KEY_MISSING
    keys = ring()
    assert keys.add(3, 1, BaseKey(0, 200, b"z" * 16))  # told so, it is taken


def test_a_second_key_for_a_step_is_refused() -> None:
    keys = ring()
    assert keys.add(3, 1, BaseKey(0, 0, b"k" * 16))
    assert not keys.add(3, 1, BaseKey(0, 0, b"x" * 16))
    assert not keys.add(3, 1, BaseKey(0, 2, b"x" * 16))
    assert keys.open_untrusted(False, sealed(sealer())).verdict == Verdict.OPENED


def test_an_earlier_step_that_comes_late_takes_nothing_away() -> None:
    base = BaseKey(0, 0, b"k" * 16)
    later = base.stepped().stepped()
    keys = ring(later)
    assert keys.open_untrusted(False, sealed(sealer(base=later))).verdict == Verdict.OPENED
    assert keys.add(3, 1, base)
    assert keys.open_untrusted(False, sealed(sealer(base=later))).verdict == Verdict.REPLAYED
    assert keys.open_untrusted(False, sealed(sealer(base=base.stepped()))).verdict == Verdict.OPENED


def test_two_epochs_stay_usable() -> None:
    bases = [BaseKey(epoch, 0, bytes([epoch]) * 16) for epoch in range(3)]
    keys = ring(*bases)
    found = [keys.open_untrusted(False, sealed(sealer(base=each))).verdict for each in bases]
    assert found == [Verdict.KEY_MISSING, Verdict.OPENED, Verdict.OPENED]


def test_who_left_is_forgotten() -> None:
    keys = ring()
    keys.drop(3)
    assert not keys.has(3, 1)
    assert keys.open_untrusted(False, sealed(sealer())).verdict == Verdict.KEY_MISSING


def test_the_same_key_again_does_not_restart_the_counter() -> None:
    by = sealer()
    first = sealed(by)
    by.use(BaseKey(0, 0, b"k" * 16))
    assert read_header_untrusted(sealed(by)[3:])[1] == read_header_untrusted(first[3:])[1] + 1


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_refused_quietly(data: bytes, audio: bool) -> None:
    keys = ring()
    assert keys.open_untrusted(audio, data).verdict != Verdict.OPENED


@given(st.binary(max_size=20))
def test_any_header_is_read_or_refused(data: bytes) -> None:
    try:
        kid, counter, at = read_header_untrusted(data)
    except SframeError:
        return
    assert at <= len(data)
    if write_header(kid, counter) != data[:at]:  # longer than needed: still read
        assert len(write_header(kid, counter)) < at


@given(st.lists(st.integers(0, 3000), max_size=60))
def test_the_replay_window_is_a_set_of_the_newest(counters: list[int]) -> None:
    window, seen = ReplayWindow(), set[int]()
    for counter in counters:
        newest = max(seen, default=-1)
        expected = counter not in seen and counter > newest - limits.REPLAY_WINDOW
        assert window.is_new(counter) is expected
        if expected:
            window.add(counter)
            seen.add(counter)


def test_layers_that_interleave_all_open() -> None:
    by, keys = sealer(), ring()
    frames = [sealed(by) for _ in range(900)]
    random.Random(1).shuffle(frames)
    assert all(keys.open_untrusted(False, frame).verdict == Verdict.OPENED for frame in frames)
