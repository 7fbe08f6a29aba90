"""Sources, encoders, recordings: small, with PyAV's own reader as the judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import pytest

from client.errors import Trouble
from client.media.codec import Decoder, PictureEncoder, SoundEncoder, level
from client.media.record import Recorder
from client.media.sources import File, Pattern
from client.receiving import ReceivedFrame
from client.rtp.vp8 import is_key_frame, picture_size


def encoded(seconds: float = 1.0) -> Iterator[ReceivedFrame]:
    """What member 5 sends, in the order of its arrival."""
    pattern = Pattern(160, 96, 10)
    pictures, sounds = PictureEncoder(), SoundEncoder()
    frames = []
    for picture in islice(pattern.pictures(), int(10 * seconds)):
        data = pictures.encode(picture, 160, 96, 100_000, 10, False)
        frames.append(
            ReceivedFrame(5, "camera", data, 70 + picture.at, 1000 + picture.at, is_key_frame(data), "3")
        )
    for sound in islice(pattern.sounds(), int(50 * seconds)):
        for data in sounds.encode(sound):
            frames.append(ReceivedFrame(5, "audio", data, 9 + sound.at, 1000.02 + sound.at, True, "2"))
    return iter(sorted(frames, key=lambda each: each.arrived))


def record(path: Path, frames: Iterator[ReceivedFrame]) -> Path:
    recorder = Recorder(str(path), lambda number: "ana/../x")
    for frame in frames:
        recorder.take(frame)
    recorder.close()
    assert recorder.failed is None
    (found,) = path.parent.iterdir()
    return found


@pytest.mark.parametrize("ending", [".mkv", ".webm"])
def test_a_recording_has_picture_and_sound_in_step(tmp_path: Path, ending: str) -> None:
    path = record(tmp_path / f"meeting{ending}", encoded())
    assert path.name == f"meeting-5-ana_.._x{ending}"
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["vp8", "opus"]
        frames = list(container.decode())
    pictures = [frame for frame in frames if isinstance(frame, av.VideoFrame)]
    sounds = [frame for frame in frames if isinstance(frame, av.AudioFrame)]
    assert (len(pictures), len(sounds)) == (10, 50)
    assert pictures[-1].time == pytest.approx(0.9, abs=0.01)
    assert sounds[-1].time == pytest.approx(1.0, abs=0.03)


def test_a_recording_of_sound_alone(tmp_path: Path) -> None:
    path = record(tmp_path / "voice.webm", (each for each in encoded() if each.source == "audio"))
    with av.open(str(path)) as container:
        assert len(list(container.decode(audio=0))) == 50


def test_pictures_before_the_first_key_frame_are_left_out(tmp_path: Path) -> None:
    deltas = [each for each in encoded() if each.source == "camera" and not each.key]
    early = [replace(each, arrived=each.arrived - 1) for each in deltas]
    path = record(tmp_path / "late.mkv", iter([*early, *encoded()]))
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 10


def test_a_picture_that_begins_later_begins_another_part(tmp_path: Path) -> None:
    voice = [each for each in encoded(5) if each.source == "audio"]
    later = [replace(each, arrived=each.arrived + 5.2, time=each.time + 5.2) for each in encoded()]
    recorder = Recorder(str(tmp_path / "talk.mkv"), str)
    for frame in [*voice, *later]:
        recorder.take(frame)
    recorder.close()
    kinds = {}
    for path in tmp_path.iterdir():
        with av.open(str(path)) as container:
            kinds[path.name] = [stream.type for stream in container.streams]
            assert len(list(container.decode())) > 50
    assert kinds == {"talk-5-5.mkv": ["audio"], "talk-5-5-part2.mkv": ["video", "audio"]}


@pytest.mark.parametrize("path", ["meeting.txt", "no-such-folder/meeting.mkv"])
def test_where_nothing_can_be_recorded(path: str) -> None:
    with pytest.raises(Trouble) as trouble:
        Recorder(path, str)
    assert (trouble.value.code, trouble.value.exit_code) == ("file_unusable", 8)


def test_a_file_is_sent_at_its_pace_and_again(tmp_path: Path) -> None:
    source = File(record(tmp_path / "film.mkv", encoded()))
    assert (source.has_picture, source.has_sound) == (True, True)
    assert (source.width, source.height) == (160, 96)
    times = [picture.at for picture in islice(source.pictures(), 15)]
    assert times == sorted(times)
    assert times[10] == pytest.approx(1.0, abs=0.15)
    assert len(list(islice(source.sounds(), 80))) == 80
    once = File(next(tmp_path.iterdir()), loop=False)
    assert len(list(once.pictures())) == 10
    assert 45 <= len(list(once.sounds())) <= 51


def test_files_that_cannot_be_sent(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("not a film")
    for path in (tmp_path / "text.txt", tmp_path / "missing.mkv"):
        with pytest.raises(Trouble) as trouble:
            File(path)
        assert trouble.value.code == "file_unusable"


def test_the_encoder_makes_key_frames_on_request_and_follows_its_size() -> None:
    encoder = PictureEncoder()
    kinds, sizes = [], []
    for index, picture in enumerate(islice(Pattern(320, 192, 10).pictures(), 8)):
        width = 320 if index < 6 else 160
        data = encoder.encode(picture, width, width * 3 // 5, 200_000, 10, index == 3)
        kinds.append(is_key_frame(data))
        sizes.append(picture_size(data))
    assert kinds == [True, False, False, True, False, False, True, False]
    assert [sizes[0], sizes[6]] == [(320, 192), (160, 96)]


def test_the_encoder_keeps_to_its_bitrate() -> None:
    encoder = PictureEncoder()
    pictures = islice(Pattern(320, 192, 15).pictures(), 60)
    sizes = [len(encoder.encode(each, 320, 192, 150_000, 15, False)) for each in pictures]
    assert sum(sizes[15:]) * 8 / 3 == pytest.approx(150_000, rel=0.35)


def test_levels_as_in_rfc_6464() -> None:
    assert level(bytes(1920)) == 127
    assert level(b"\xff\x7f" * 960) == 0
    assert level((3277).to_bytes(2, "little") * 960) == 20


def test_a_decoder_survives_anything() -> None:
    for audio in (False, True):
        decoder = Decoder(audio)
        for data in (b"\x00", b"\xff" * 50, bytes(200)):
            decoder.decode(data)
