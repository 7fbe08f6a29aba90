"""What `make demo-check` judges by: figures from samples, and the search for secrets in memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from control.demo import figures
from control.demo.browsers import BrowserFailed, Browsers
from control.demo.figures import Row
from control.demo.memory import Needle, descendants, scan
from tests.patience import PATIENCE_S


def receiver(name: str, **counters: int) -> dict[str, Any]:
    return {"receiver": name, **counters}


def sample(at_ms: float, tiles: dict[int, str], receivers: list[dict[str, Any]], opened: int) -> Any:
    """`tiles`: by member number, the slot that carries it."""
    counts = {"decrypted": opened, "missing_key": opened // 10, "not_encrypted": 0}
    return {
        "at_ms": at_ms,
        "state": {
            "tiles": [
                {
                    "member": member,
                    "audio": {"receiver": f"audio{slot}", "verdict": "decrypting", "counts": counts},
                    "camera": {"receiver": f"video{slot}", "verdict": "missing_key", "counts": counts},
                }
                for member, slot in tiles.items()
            ]
        },
        "stats": {"receivers": receivers},
    }


def test_what_was_received_is_the_difference_of_two_samples() -> None:
    first = [
        receiver("video0", framesDecoded=100, frameHeight=180, packetsReceived=10),
        receiver("audio0", totalSamplesReceived=48000, concealedSamples=4800, packetsReceived=50),
    ]
    last = [
        receiver("video0", framesDecoded=220, frameHeight=720, packetsReceived=60, freezeCount=1),
        receiver("audio0", totalSamplesReceived=528000, concealedSamples=9600, packetsReceived=550),
    ]
    (got,) = figures.receptions(sample(5000, {3: "0"}, first, 100), sample(15000, {3: "0"}, last, 700))
    assert got.member == 3
    assert got.frames_per_s == 12
    assert got.height == 720
    assert got.audio_concealed_percent == 1
    assert got.audio_s == 10
    assert got.packets == 550
    assert got.frames_opened == 2 * 600
    assert got.frames_not_opened == 2 * 60
    assert got.verdicts == ("decrypting", "missing_key")
    assert got.freezes == 1


def test_who_has_no_sound_is_wholly_concealed_and_who_came_later_does_not_count() -> None:
    before, after = sample(0, {1: "0"}, [], 0), sample(1000, {1: "0", 2: "1"}, [], 0)
    (got,) = figures.receptions(before, after)
    assert (got.member, got.audio_concealed_percent, got.frames_per_s) == (1, 100, 0)


def test_every_encoded_picture_is_accounted_for() -> None:
    said: Any = {
        "stats": {
            "senders": [
                {"kind": "video", "rid": "t", "framesSent": 60, "packetsSent": 70},
                {"kind": "video", "rid": "f", "framesSent": 40, "packetsSent": 400},
                {"kind": "audio", "packetsSent": 1000},
            ]
        },
        "state": {
            "encoder": [
                {"source": 0, "sealed": 990, "dropped": 0},
                {"source": 1, "sealed": 95, "dropped": 5},
            ]
        },
    }
    assert figures.pictures_unaccounted(said) == 0
    said["state"]["encoder"][1]["sealed"] = 94
    assert figures.pictures_unaccounted(said) == 1


@pytest.mark.parametrize(
    ("value", "goal", "better", "ok"),
    [
        (10, 10, "higher", True),
        (9.99, 10, "higher", False),
        (5, 5, "lower", True),
        (5.01, 5, "lower", False),
        (0, 0, "equal", True),
        (1, 0, "equal", False),
        (None, 10, "higher", False),
        (float("nan"), 0, "equal", False),
        (float("inf"), 2, "lower", False),
        (7, None, "equal", True),
    ],
)
def test_a_row_meets_its_goal_or_not(value: Any, goal: Any, better: Any, ok: bool) -> None:
    row = Row("name", value, "unit", goal, better)
    assert row.ok is ok
    assert ("FAILED" in figures.table([row])) is not ok
    assert json.loads(json.dumps(row.to_json()))["ok"] is ok


# Says what it is told on stdin is there, in memory only, in a way of the caller's choice; then waits.
HOLDER = """
import base64, mmap, os, sys
secret, way = bytes.fromhex(sys.stdin.readline()), sys.argv[1]
if way == "raw": held = bytearray(secret)
if way == "base64": held = base64.b64encode(b"any" + secret + b"thing")
if way == "hex": held = secret.hex()
if way == "shared":
    descriptor = os.memfd_create("table")
    os.ftruncate(descriptor, 1 << 24)
    held = mmap.mmap(descriptor, 1 << 24)
    # Astride of two pieces that are searched one after the other would be here, were pieces smaller.
    held[(1 << 23) - 8 : (1 << 23) + 8] = secret
if way == "elsewhere": held = bytes(reversed(secret))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("way", ["raw", "hex", "base64", "shared"])
def test_a_secret_in_another_process_is_found(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.demo.memory.CHUNK", 1 << 23)
    secret = os.urandom(16)
    needles = [Needle("the secret", secret), Needle("another", os.urandom(16))]
    found = held(way, secret, needles)
    assert found.names() == {"the secret"}
    assert found.processes == 1
    assert found.searched_bytes > 1 << 20
    if way == "shared":
        assert found.names("raw") == {"the secret"}


def held(way: str, secret: bytes, needles: list[Needle]) -> Any:
    command = [sys.executable, "-c", HOLDER, way]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(secret.hex() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "held\n"
        try:
            return scan([process.pid], needles)
        except PermissionError:
            pytest.skip("this machine does not let us read the memory of our children")
        finally:
            process.stdin.close()


def test_descendants_are_found_at_any_depth() -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    with subprocess.Popen([sys.executable, "-c", code], process_group=0) as process:
        try:
            while len(found := descendants(process.pid)) < 2:
                assert process.poll() is None
            assert process.pid in found
            assert os.getpid() not in found
            assert set(found) < set(descendants(os.getpid()))
        finally:
            os.killpg(process.pid, signal.SIGKILL)


DRAWS_LATER = """setTimeout(() => {
    for (const name of ["Stay", "Leave"]) {
        const button = Object.assign(document.createElement("button"), { innerText: name, disabled: true });
        button.onclick = () => (document.title = name === "Leave" ? "left" : "stayed");
        document.documentElement.append(button);
        setTimeout(() => (button.disabled = false), 100);
    }
}, 100)"""


@pytest.mark.browser
def test_a_browser_is_driven_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<title>page</title><script>console.log(early, 'hello')</script>")
    with Browsers() as browsers:

        async def drive() -> None:
            browser = await browsers.launch()
            page = await browser.open((tmp_path / "page.html").as_uri(), script="globalThis.early = 5")
            assert await page.evaluate("Promise.resolve(document.title)") == "page"
            assert await page.wait("early + 1") == 6
            with pytest.raises(BrowserFailed, match="hello"):
                await page.wait("false", timeout_s=0.2)
            with pytest.raises(BrowserFailed, match="not a function"):
                await page.evaluate("early()")
            with pytest.raises(BrowserFailed, match="reading 'innerText'"):
                await page.wait("document.querySelector('main').innerText", timeout_s=0.2)
            # What is drawn and can be pressed later is waited for.
            await page.evaluate(DRAWS_LATER)
            await page.click("button", "Leave")
            assert await page.evaluate("document.title") == "left"
            await page.screenshot(tmp_path / "page.png", (320, 240))
            await browser.kill()
            with pytest.raises(BrowserFailed):
                await page.evaluate("1")

        asyncio.run(drive())
        started = descendants(browsers.pid)
    deadline = time.monotonic() + PATIENCE_S
    while left := [pid for pid in started if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
