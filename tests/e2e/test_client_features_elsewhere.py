"""The browser client's features in Firefox, beside Chromium, and as a widget in another client's page."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from control.demo.browsers import Browser, Page
from control.demo.participants import Participant
from tests.cli.operator import sotto
from tests.e2e.hands import hide, press, violations, watched
from tests.e2e.stage import WINDOW, Stage, stage
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.browser, pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]

LOBBY, GUEST = "dave", "erin"
ORIGIN = "http://127.0.0.1:8100"
"""Of the other client's page. Nobody else is in this network: its ephemeral ports begin at 32768."""
WIDGET_API = Path(__file__).parents[2] / "web/node_modules/matrix-widget-api/dist/api.min.js"
# What a client does with a widget, by the widget API's own library: an implementation that is not ours.
HOST = """<!doctype html><meta charset="utf-8"><title>Another client</title>
<iframe id="frame" width="1000" height="560" allow="%(allow)s"></iframe>
<script src="api.min.js"></script>
<script>
const { ClientWidgetApi, Widget, WidgetDriver } = mxwidgets();
const url = %(url)s, frame = document.getElementById("frame"), seen = [];
const about = { id: "w1", creatorUserId: "@a:b", type: "m.custom", data: {} };
const widget = new Widget({ ...about, url, waitForIframeLoad: %(wait)s });
class Driver extends WidgetDriver {
    async validateCapabilities(wanted) { seen.push(["wanted", ...wanted]); return wanted; }
}
const api = new ClientWidgetApi(widget, frame, new Driver());
api.transport.timeoutSeconds = %(patience)d;
api.on("ready", () => seen.push(["ready"]));
for (const action of ["set_always_on_screen", "im.vector.hangup"])
    api.on(`action:${action}`, (event) => {
        event.preventDefault();
        seen.push([action, event.detail.data.value ?? null]);
        api.transport.reply(event.detail, { success: true });
    });
globalThis.told = (what) => seen.some((one) => JSON.stringify(one) === JSON.stringify(what));
globalThis.say = (action) => api.transport.send(action, {});
globalThis.versions = () => api.getWidgetVersions();
globalThis.theme = (name) => api.updateTheme({ name });
frame.src = url;
</script>"""
ALLOWED = "camera; microphone; display-capture; autoplay; picture-in-picture"


@dataclass
class Call:
    stage: Stage
    chromium: Browser
    firefox: Browser
    alice: Participant
    fiona: Participant
    pages: Path
    """What the other client's page server serves."""


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    pages = tmp_path_factory.mktemp("pages")
    shutil.copy(WIDGET_API, pages)
    people = ("alice", "fiona", LOBBY, GUEST)
    with stage(tmp_path_factory.mktemp("stage"), people, embed_in=(ORIGIN,)) as where:
        serve = [
            sys.executable,
            "-m",
            "http.server",
            "8100",
            "--bind",
            "127.0.0.1",
            "--directory",
            str(pages),
        ]
        server = where.namespace.spawn(serve)

        async def arrive() -> Call:
            chromium = await where.browsers.launch(fps=10)
            firefox = await where.browsers.launch("firefox")
            alice = await where.join(chromium, "alice")
            return Call(where, chromium, firefox, alice, await where.join(firefox, "fiona"), pages)

        try:
            yield asyncio.run(arrive())
        finally:
            server.terminate()
            server.wait()


async def test_in_firefox_the_way_in_shows_picture_level_and_devices(call: Call) -> None:
    page = await call.firefox.open(call.stage.demo.urls[LOBBY], size=WINDOW)
    await page.wait("window.sotto && sotto.state().screen === 'lobby' && sotto.state().media.video")
    await page.wait("document.querySelector('.preview video')?.videoWidth > 0")
    # Its bar stays empty: without a sound card Firefox runs no AudioContext.
    await page.wait("!document.querySelector('[role=meter]').hidden")
    await page.wait(
        "[...document.querySelectorAll('select')].filter(({ value }) => value !== '').length >= 2"
    )
    assert await violations(page) == []
    await page.click("[aria-label='Turn camera off']")
    await page.wait("document.querySelector('.preview').innerText.includes('Your camera is off')")
    assert not (await page.evaluate("sotto.state()"))["media"]["video"]
    await page.click("[aria-label='Turn camera on']")
    await page.wait("document.querySelector('.preview video')?.videoWidth > 0")
    await page.close()


async def test_in_firefox_who_speaks_is_shown_and_told(call: Call) -> None:
    alice, fiona = call.alice, call.fiona
    await fiona.sees([alice.member])
    tile = f"""document.querySelector('[data-member="{alice.member}"]')"""
    await fiona.page.wait(f"{tile}.matches('.speaking[aria-label*=speaking]')")
    await press(fiona.page, "g")
    await fiona.page.wait(
        f"sotto.state().view === 'speaker' && sotto.state().large?.member === {alice.member}"
    )
    await press(fiona.page, "g")
    await fiona.page.wait("sotto.state().view === 'grid'")


async def test_hands_and_reactions_go_between_chromium_and_firefox(call: Call) -> None:
    for one, other in ((call.alice, call.fiona), (call.fiona, call.alice)):
        await press(one.page, "h")
        hand = f"""document.querySelector('[data-member="{one.member}"] .hand')?.textContent.includes("1")"""
        await other.page.wait(hand)
        await press(one.page, "h")
        await other.page.wait("sotto.state().hands.length === 0")
        # As a person does: the palette opens, its first button has the focus and is pressed.
        await press(one.page, "r")
        await one.page.wait("document.activeElement.closest('.palette') !== null")
        shown = f"sotto.state().reactions.some(({{ member }}) => member === {one.member})"
        async with watched(other.page, shown):
            await one.page.evaluate("document.activeElement.click()")
        await one.page.wait("document.querySelector('.palette') === null")


# Firefox without a window has no screen to capture. What follows the choice is the same.
SCREEN = """navigator.mediaDevices.getDisplayMedia = async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
    const draw = canvas.getContext("2d");
    let drawn = 0;
    setInterval(() => {
        draw.fillStyle = drawn % 2 ? "white" : "silver";
        draw.fillRect(0, 0, 1280, 720);
        draw.fillStyle = "black";
        draw.fillText(String(++drawn), 100, 100);
    }, 100);
    return canvas.captureStream(10);
}, 0"""


async def test_in_firefox_screens_are_shared_and_seen(call: Call) -> None:
    await call.fiona.page.evaluate(SCREEN)
    for one, other in ((call.fiona, call.alice), (call.alice, call.fiona)):
        await one.page.evaluate("sotto.share(true)")
        await one.page.wait("sotto.state().media.screen")
        await other.page.wait(
            f"""(({{ tiles, large }}) => large?.source === "screen" && tiles.some(({{ member, screen }}) =>
                member === {one.member} && screen?.verdict === "decrypting" && screen.frameHeight > 0)
            )(sotto.state())"""
        )
        await one.page.evaluate("sotto.share(false)")
        await other.page.wait("sotto.state().large?.source !== 'screen'")


async def test_in_firefox_a_picture_in_a_window_of_its_own_stays_in_sight(call: Call) -> None:
    page = call.fiona.page
    await page.evaluate(f"sotto.pin({call.alice.member})")
    await page.wait("document.querySelector('.tile.large video:not([hidden])')?.videoWidth > 0")
    await press(page, "d")
    await page.wait("document.querySelector('.panel')?.innerText.includes('kbit/s')")
    if not await page.evaluate("Boolean(document.pictureInPictureEnabled)"):
        # Older ones have a button of their own on every picture, which no page can press.
        assert await page.evaluate("document.querySelector('[data-key=p]')") is None
        return
    await page.key("p")  # only for somebody who pressed something
    await page.wait("document.pictureInPictureElement")
    await hide(page, hidden=True)
    await page.wait(
        f"""sotto.state().away && JSON.stringify(sotto.state().wishes.filter(({{ height }}) => height > 0)
            .map(({{ member }}) => member)) === "[{call.alice.member}]\""""
    )
    await press(page, "p")
    await page.wait("sotto.state().wishes.every(({ height }) => height === 0)")
    await hide(page, hidden=False)
    await page.evaluate("sotto.focus(null)")
    await call.fiona.sees([call.alice.member])


async def test_in_firefox_another_device_is_chosen_while_the_call_goes_on(call: Call) -> None:
    """The details are open since the last test."""
    page = call.fiona.page
    await page.wait("document.querySelectorAll('.panel select option').length >= 2")
    was = await page.evaluate("sotto.stats().then(({ camera }) => camera)")
    await page.evaluate(
        """(() => {
        const labels = [...document.querySelectorAll(".panel label")];
        const camera = labels.find(({ innerText }) => innerText.startsWith("Camera"));
        camera.querySelector("select").dispatchEvent(new Event("change", { bubbles: true }));
    })()"""
    )
    before = f"sotto.state().tiles.find(({{ member }}) => member === {call.fiona.member}).framesDecoded"
    frames = await call.alice.page.evaluate(before)
    await call.alice.page.wait(f"{before} > {frames} + 5")
    assert (await call.fiona.state())["media"]["video"], was
    await press(page, "Escape")
    await page.wait("!document.querySelector('.panel')")


@pytest.mark.parametrize("size", [WINDOW, (390, 844)])
async def test_in_firefox_everything_can_be_used_without_seeing_it(
    call: Call, tmp_path: Path, size: tuple[int, int]
) -> None:
    page = call.fiona.page
    await page.screenshot(tmp_path / "call.png", size)
    await press(page, "d")
    await press(page, "r")
    await page.wait("document.querySelector('.panel') && document.querySelector('.palette')")
    assert await violations(page) == []
    assert await page.evaluate(
        "[...document.querySelectorAll('.buttons button')].every((button) => {"
        " const { left, right } = button.getBoundingClientRect(); return left >= 0 && right <= innerWidth; })"
    )
    await page.screenshot(tmp_path / "details.png")
    await press(page, "Escape")
    await press(page, "d")
    await page.wait("!document.querySelector('.panel')")
    await page.screenshot(tmp_path / "call.png", WINDOW)


async def host(call: Call, browser: Browser, allow: str, *, wait: bool = False) -> tuple[Page, Page]:
    """The other client's page with our page in it as a widget, in its lobby.

    `wait`: that client waits until the frame has loaded, as Element does unless a widget says otherwise;
    else until the widget says so itself.
    """
    where = call.stage.demo.urls[GUEST] + f"&theme=black&widgetId=w1&parentUrl={quote(ORIGIN + '/#/room')}"
    told = {"allow": allow, "url": json.dumps(where), "wait": json.dumps(wait), "patience": PATIENCE_S}
    (call.pages / "host.html").write_text(HOST % told)
    page = await browser.open(f"{ORIGIN}/host.html", size=WINDOW)
    inside = page.frame(call.stage.url(""))
    await page.wait("told(['ready'])")
    await inside.wait("window.sotto && sotto.state().screen === 'lobby'")
    return page, inside


@pytest.mark.parametrize("kind", ["chromium", "firefox"])
async def test_a_widget_with_a_camera_is_told_to_join_and_to_leave(
    call: Call, kind: str, tmp_path: Path
) -> None:
    alice = call.alice
    browser = call.chromium if kind == "chromium" else call.firefox
    around, inside = await host(call, browser, ALLOWED, wait=kind == "firefox")
    assert await inside.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    await around.evaluate("theme('light-high-contrast')")
    await inside.wait("getComputedStyle(document.body).backgroundColor === 'rgb(243, 245, 248)'")
    await inside.wait("sotto.state().media.video && sotto.state().media.audio")
    assert await around.evaluate("told(['wanted', 'm.always_on_screen'])")
    assert await around.evaluate("versions()") == ["0.0.1", "0.0.2"]
    assert not await around.evaluate("told(['set_always_on_screen', true])")
    await around.evaluate("say('io.element.join')")
    await inside.wait("sotto.state().phase === 'joined'")
    await around.wait("told(['set_always_on_screen', true])")
    guest = await inside.evaluate("sotto.state().member")
    for page, member in ((alice.page, guest), (inside, alice.member)):
        await page.wait(
            f"""sotto.state().tiles.some(({{ member, audio, camera, framesDecoded }}) =>
            member === {member} &&
            audio.verdict === "decrypting" && camera.verdict === "decrypting" && framesDecoded > 0)"""
        )
    await around.screenshot(tmp_path / "widget.png")
    await around.evaluate("say('im.vector.hangup')")
    await around.wait("told(['set_always_on_screen', false]) && told(['im.vector.hangup', null])")
    await alice.sees([call.fiona.member])
    await inside.wait("sotto.state().screen === 'lobby'")
    await around.close()


async def test_a_widget_that_may_not_use_the_camera_says_so(call: Call) -> None:
    around, inside = await host(call, call.chromium, "autoplay")
    await inside.wait("document.querySelector('.preview').innerText.includes('may not use the camera')")
    await around.close()


async def test_the_operators_page_shows_the_call(call: Call, tmp_path: Path) -> None:
    config = call.stage.demo.folder / "sotto.toml"
    address = sotto("status", "--page", "--config", config).stdout.strip()
    page = await call.chromium.open(address, size=(1100, 800))
    await page.wait("document.getElementById('state').textContent === 'ready'")
    assert "token" not in await page.evaluate("location.href")
    await page.wait("document.querySelectorAll('#members tr').length === 2")
    await page.wait("/[1-9].* in, .*[1-9].* out/.test(document.getElementById('bits').textContent)")
    await page.wait(
        """["bits-in", "bits-out", "load-line"].every((id) =>
            document.getElementById(id).getAttribute("d")?.split("L").length >= 4)"""
    )
    assert await violations(page) == []
    await page.screenshot(tmp_path / "status.png")
    await page.close()


async def test_all_still_goes_well(call: Call) -> None:
    """Last in this file: after all of the above."""
    await call.fiona.sees([call.alice.member])
    for person in (call.alice, call.fiona):
        counters = (await person.state())["counters"]
        # Keys and requests for keys of a guest who has left by the time they come are rightly refused.
        of_guests = {"media keys refused", "key request refused"}
        wrong = [name for name in counters if "refused" in name and name not in of_guests]
        assert wrong == [], counters
        assert not any("malformed" in name for name in counters), counters
