// Drives browsers for control/demo/browsers.py: one JSON object per line in on stdin, one per line out on stdout.
//
//   {"id": 1, "op": "launch", "kind": "chromium", ...}   ->   {"id": 1, "value": {"browser": 1, "pid": 4711}}
//                                                        or   {"id": 1, "error": "why"}
//
// Everything it starts ends with it: when stdin ends, or at a signal. It runs inside a network namespace like any program.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const puppeteer = createRequire(new URL("../../web/package.json", import.meta.url))("puppeteer-core").default;

/** For a browser to start and a page to come: a second or two where the machine has time. */
const START_MS = 120000;
const browsers = new Map();
const pages = new Map();
let last = 0;

const operations = { launch, open, evaluate, wait, screenshot, size, key: pressKey, close, shut, kill, fetch: fetchText };

async function launch({ kind, fps, args = [] }) {
    const browser = await puppeteer.launch(kind === "firefox" ? firefox(fps) : chromium(fps, args));
    const number = ++last;
    browsers.set(number, browser);
    return { browser: number, pid: browser.process().pid };
}

function chromium(fps, args) {
    return {
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        timeout: START_MS,
        handleSIGINT: false,
        args: [
            ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
            "--use-fake-ui-for-media-stream",
            `--use-fake-device-for-media-stream=fps=${fps}`,
            "--autoplay-policy=no-user-gesture-required",
            // In a namespace without a network there is nothing but loopback.
            "--allow-loopback-in-peer-connection",
            "--mute-audio",
            // Without one, drawing by the processor is cheaper than pretending to have one.
            "--disable-gpu",
            ...args,
        ],
    };
}

function firefox(fps) {
    return {
        browser: "firefox",
        executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
        timeout: START_MS,
        handleSIGINT: false,
        extraPrefsFirefox: {
            "media.navigator.streams.fake": true,
            "media.navigator.permission.disabled": true,
            "media.navigator.video.default_width": 1280,
            "media.navigator.video.default_height": 720,
            "media.navigator.video.default_fps": fps,
            "media.autoplay.default": 0,
            "media.peerconnection.ice.obfuscate_host_addresses": false,
            "media.peerconnection.ice.loopback": true,
        },
    };
}

/** A page in a context of its own: two people in one would wait for each other's requests to the homeserver. */
async function open({ browser, url, script, width, height }) {
    const context = await browserOf(browser).createBrowserContext();
    const page = await context.newPage();
    const number = ++last;
    pages.set(number, page);
    page.on("console", (message) => tell({ event: "console", page: number, text: `${message.type()}: ${message.text()}` }));
    page.on("pageerror", (error) => tell({ event: "console", page: number, text: `error: ${error?.stack ?? error}` }));
    if (width) await resize(page, width, height);
    if (script) await page.evaluateOnNewDocument(script);
    await page.goto(url, { waitUntil: "domcontentloaded", timeout: START_MS });
    return { page: number };
}

/** Firefox before 153 takes the size and then does not know the orientation that goes with it. */
async function resize(page, width, height) {
    try {
        await page.setViewport({ width, height });
    } catch (error) {
        if (!String(error).includes("unknown command")) throw error;
    }
}

async function evaluate({ page, frame, expression }) {
    return await frameOf(page, frame).evaluate(expression);
}

/**
 * Looks within the page until `expression` is true, then gives its value. As one expression: the page's policy forbids
 * eval. What throws is not true yet: the page draws a moment after it knows, so what is asked of may not be there.
 */
async function wait({ page, frame, expression, timeout_ms }) {
    return await frameOf(page, frame).evaluate(`(async () => {
        const end = performance.now() + ${timeout_ms};
        for (;;) {
            let thrown = "";
            try {
                const value = await (${expression});
                if (value) return value;
            } catch (error) {
                thrown = ": " + error;
            }
            if (performance.now() > end) throw new Error("not within ${timeout_ms} ms" + thrown);
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
    })()`);
}

async function screenshot({ page, path }) {
    await pageOf(page).screenshot({ path });
}

/** As a person does: the page may do afterwards what it may only when somebody asked for it. */
async function pressKey({ page, key }) {
    await pageOf(page).keyboard.press(key);
}

async function size({ page, width, height }) {
    await resize(pageOf(page), width, height);
}

/** As a person closes a tab: the page is told. */
async function close({ page }) {
    const context = pageOf(page).browserContext();
    await pageOf(page).close();
    pages.delete(page);
    await context.close();
}

async function shut({ browser }) {
    await browserOf(browser).close();
    browsers.delete(browser);
}

/** As a machine loses power: nobody is told. */
async function kill({ browser }) {
    const child = browserOf(browser).process();
    const ended = new Promise((resolve) => (child.exitCode === null ? child.once("exit", resolve) : resolve()));
    // Puppeteer gives a browser a process group of its own.
    process.kill(-child.pid, "SIGKILL");
    browsers.delete(browser);
    await ended;
}

async function fetchText({ url }) {
    const response = await fetch(url);
    return { status: response.status, text: await response.text() };
}

function browserOf(number) {
    const browser = browsers.get(number);
    if (!browser) throw new Error("this browser is gone");
    return browser;
}

function pageOf(number) {
    const page = pages.get(number);
    if (!page) throw new Error("this page is gone");
    return page;
}

/** The page itself, or the frame in it whose address begins so. */
function frameOf(number, address) {
    const page = pageOf(number);
    if (!address) return page;
    const frame = page.frames().find((one) => one.url().startsWith(address));
    if (!frame) throw new Error(`no frame of ${address}: ${page.frames().map((one) => one.url())}`);
    return frame;
}

function tell(message) {
    process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function answer(line) {
    const { id, op, ...rest } = JSON.parse(line);
    try {
        tell({ id, value: (await operations[op](rest)) ?? null });
    } catch (error) {
        tell({ id, error: String(error?.message ?? error) });
    }
}

async function end() {
    const closing = [...browsers.values()].map((browser) => browser.close().catch(() => undefined));
    await Promise.race([Promise.all(closing), new Promise((resolve) => setTimeout(resolve, 5000))]);
    for (const browser of browsers.values()) {
        try {
            process.kill(-browser.process().pid, "SIGKILL");
        } catch {
            // It has ended.
        }
    }
    process.exit(0);
}

process.on("SIGTERM", end);
process.on("SIGINT", () => undefined); // a terminal's Ctrl-C is for our parent, which ends our stdin
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => void answer(line));
lines.on("close", end);
