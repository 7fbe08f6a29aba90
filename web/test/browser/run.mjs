// Runs the transform self-test in a real browser: node test/browser/run.mjs [chromium|firefox] [--streams]
// --streams hides RTCRtpScriptTransform, so that Chromium's older createEncodedStreams is used.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { build, preview } from "vite";

const browserName = process.argv[2] === "firefox" ? "firefox" : "chromium";
/** For a browser to start and its page to come: a second or two where the machine has time. */
const START_MS = 100000;
const streams = process.argv.includes("--streams");
const root = join(import.meta.dirname);
const outDir = mkdtempSync(join(tmpdir(), "sotto-loopback-"));
await build({ root, base: "./", configFile: false, logLevel: "error", worker: { format: "es" }, build: { outDir, emptyOutDir: true, rolldownOptions: { input: join(root, "loopback.html") } } });
const server = await preview({ root, configFile: false, logLevel: "error", build: { outDir }, preview: { port: 0, host: "127.0.0.1" } });
const browser = await puppeteer.launch(
    browserName === "chromium"
        ? {
              executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
              timeout: START_MS,
              args: ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
          }
        : {
              browser: "firefox",
              executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
              timeout: START_MS,
              extraPrefsFirefox: {
                  "media.navigator.streams.fake": true,
                  "media.navigator.permission.disabled": true,
                  "media.peerconnection.ice.obfuscate_host_addresses": false,
              },
          },
);
try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error("page:", String(error)));
    if (streams) await page.evaluateOnNewDocument(() => delete globalThis.RTCRtpScriptTransform);
    const { port } = server.httpServer.address();
    await page.goto(`http://127.0.0.1:${port}/loopback.html`, { timeout: START_MS });
    const result = await page.evaluate(() => window.result);
    console.log(JSON.stringify(result, null, 1));
    assert.equal(result.withoutKey.packets, 0, "media left before there was a key");
    assert.equal(result.keyMissing.decoded, 0);
    assert.equal(result.keyMissing.verdicts, "missing_key missing_key");
    assert.equal(result.wrongKey.decoded, 0);
    assert.equal(result.wrongKey.verdicts, "wrong_key wrong_key");
    assert.equal(result.decrypting.verdicts, "decrypting decrypting");
    assert.ok(result.decrypting.decoded > 10);
    assert.equal(result.inClear.decoded, 0);
    assert.equal(result.inClear.verdicts, "not_encrypted not_encrypted");
} finally {
    await browser.close();
    await server.close();
    rmSync(outDir, { recursive: true, force: true });
}
