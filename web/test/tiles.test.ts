// What should come from a member and does not: said for each tile as it is.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Shown, TileView } from "../src/conference/received.ts";
import { Tiles, type Heeded } from "../src/conference/tiles.ts";
import { lockOf } from "../src/ui/lock.ts";

const nobody: Shown = { source: "camera", carried: { member: 2, source: "camera" }, verdict: "decrypting", report: null, track: null, receiver: "video0", loudest: false, layer: null, opened: true };
const silent: Partial<Shown> = { verdict: "none" };

function begin() {
    const seen = { now: 1000, looked: true, drawn: 0 };
    const tile: TileView = { member: 2, userId: "@b:x", deviceId: "D", muted: { audio: false, video: false }, audio: { ...nobody, source: "audio" }, camera: { ...nobody }, screen: null };
    const tiles = new Tiles({
        others: () => [{ member: 2, userId: "@b:x", deviceId: "D", audioMuted: false, videoMuted: false, sources: [] }],
        tile: () => tile,
        looked: () => seen.looked,
        keys: () => null,
        changed: () => void seen.drawn++,
        now: () => seen.now,
    });
    const pass = (seconds: number) => {
        for (let i = 0; i < seconds; i++) {
            seen.now += 1000;
            tiles.look();
        }
    };
    const overdue = (source: Heeded) => tiles.overdue(tile, source);
    return { tile, tiles, seen, pass, overdue };
}

describe("a source that is on and asked for", () => {
    it("and of which nothing comes is overdue after three seconds, and no more when something comes", () => {
        const { tile, pass, overdue } = begin();
        Object.assign(tile.camera, silent);
        pass(3);
        assert.equal(overdue("camera"), null);
        pass(1);
        assert.equal(overdue("camera"), 3);
        assert.equal(overdue("audio"), null);
        pass(4);
        assert.equal(overdue("camera"), 7);
        tile.camera.verdict = "decrypting";
        assert.equal(overdue("camera"), null, "at once");
        pass(1);
        tile.camera.verdict = "none";
        pass(3);
        assert.equal(overdue("camera"), null, "from the start");
    });

    it("is not waited for while it is muted, out of sight, held back for want of network, without a place or heard only when loud", () => {
        const cases: [Heeded, (found: ReturnType<typeof begin>) => void][] = [
            ["camera", ({ tile }) => void (tile.muted.video = true)],
            ["audio", ({ tile }) => void (tile.muted.audio = true)],
            ["camera", ({ seen }) => void (seen.looked = false)],
            ["camera", ({ tile }) => void (tile.camera.layer = { encoding: null, temporal: 0 })],
            ["camera", ({ tile }) => void (tile.camera.receiver = null)],
            ["audio", ({ tile }) => void (tile.audio.loudest = true)],
            ["camera", ({ tile }) => void (tile.camera.verdict = "missing_key")],
        ];
        for (const [source, change] of cases) {
            const found = begin();
            Object.assign(source === "audio" ? found.tile.audio : found.tile.camera, silent);
            change(found);
            found.pass(20);
            assert.equal(found.overdue(source), null, `${source} ${change}`);
        }
    });

    it("is waited for longer when it is a screen that may be still", () => {
        const { tile, pass, overdue } = begin();
        tile.screen = { ...nobody, source: "screen", ...silent };
        pass(10);
        assert.equal(overdue("screen"), null);
        pass(1);
        assert.equal(overdue("screen"), 10);
        tile.screen = { ...nobody, source: "screen", ...silent, opened: false };
        assert.equal(overdue("screen"), 10);
    });

    it("is drawn while it is so, and once when it is over", () => {
        const { tile, seen, pass } = begin();
        pass(5);
        assert.equal(seen.drawn, 0);
        tile.audio.verdict = "none";
        pass(2);
        tile.audio.verdict = "decrypting";
        pass(5);
        assert.equal(seen.drawn, 3);
    });
});

describe("the lock of a tile", () => {
    it("says what does not come, and never that it is anybody's network", () => {
        const missing = { seconds: 0, asked: false };
        const label = (verdicts: Parameters<typeof lockOf>[1], sound: number | null, picture: number | null) => lockOf("Bob", verdicts, missing, { sound, picture }).label;
        assert.equal(label(["decrypting", "none"], null, 5), "No picture comes");
        assert.equal(label(["none", "decrypting"], 5, null), "No sound comes");
        assert.equal(label(["none", "none"], 5, 7), "Nothing comes");
        assert.equal(label(["wrong_key", "none"], null, 7), "Wrong key", "worse things first");
        assert.equal(label(["missing_key", "none"], null, 7), "Key missing");
        assert.equal(label(["decrypting", "none"], null, null), "");
        const { tone, text } = lockOf("Bob", ["decrypting", "none"], missing, { sound: null, picture: 7 });
        assert.equal(tone, "waiting");
        assert.match(text, /^No picture has come from Bob for 7 s, though it is on\. What else comes is end-to-end encrypted/);
    });
});
