import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { grade, qualities, type Quality } from "../src/call/quality.ts";
import type { Shown, TileView } from "../src/conference/received.ts";
import { loudness } from "../src/ui/loudness.ts";
import { tileState } from "../src/ui/tilestate.ts";

const stats = (rows: Record<string, unknown>[]) => ({ receivers: rows, senders: [], camera: {}, transport: {}, parameters: {} });
const GOOD: Quality = { kbps: 500, framesPerSecond: 30, width: 640, height: 360, lost: 0, concealed: 0, freezes: 0 };

describe("quality", () => {
    it("is what grew between two readings", () => {
        const before = { at: 1000, stats: stats([{ receiver: "video0", bytesReceived: 1000, packetsReceived: 100, packetsLost: 0, framesDecoded: 10 }]) };
        const after = { at: 3000, stats: stats([{ receiver: "video0", bytesReceived: 126000, packetsReceived: 190, packetsLost: 10, framesDecoded: 70, frameWidth: 640, frameHeight: 360, freezeCount: 1 }, { receiver: "audio0" }]) };
        assert.deepEqual(qualities(before, after).get("video0"), { kbps: 500, framesPerSecond: 30, width: 640, height: 360, lost: 0.1, concealed: 0, freezes: 1 });
        assert.equal(qualities(before, after).get("audio0")?.kbps, 0);
        assert.equal(qualities(after, after).size, 0);
        // A duplicate may lower what was counted as lost.
        assert.equal(qualities(after, { at: 5000, stats: stats([{ receiver: "video0", packetsReceived: 200, packetsLost: 8 }]) }).get("video0")?.lost, 0);
    });

    it("has three grades", () => {
        assert.equal(grade(GOOD, GOOD, false), "good");
        assert.equal(grade(null, null, false), "good");
        assert.equal(grade({ ...GOOD, lost: 0.05 }, null, false), "fair");
        assert.equal(grade(GOOD, { ...GOOD, concealed: 0.1 }, false), "poor");
        assert.equal(grade(GOOD, GOOD, true), "poor");
    });
});

describe("a tile", () => {
    const shown = (more: Partial<Shown> = {}): Shown => ({ source: "camera", carried: { member: 5, source: "camera" }, verdict: "decrypting", report: null, track: null, receiver: "video0", loudest: false, layer: null, opened: true, ...more });
    const tile = (camera: Partial<Shown>, more: Partial<TileView> = {}): TileView => ({
        member: 5, userId: "@a:x", deviceId: "D", muted: { audio: false, video: false }, audio: shown({ source: "audio" }), camera: shown(camera), screen: null, ...more,
    });
    const state = (one: TileView, looked = true, source: "camera" | "screen" = "camera") => {
        const { visible, paused } = tileState(one, source, looked, () => GOOD);
        return [visible, paused];
    };
    const nothing = { encoding: null, temporal: 0 };

    it("shows pictures that were opened, and the last one of a paused", () => {
        assert.deepEqual(state(tile({})), [true, false]);
        assert.deepEqual(state(tile({ verdict: "none" })), [false, false]);
        assert.deepEqual(state(tile({ verdict: "missing_key" })), [false, false]);
        assert.deepEqual(state(tile({ verdict: "none", layer: nothing })), [true, true]);
        assert.deepEqual(state(tile({ verdict: "none", layer: nothing, opened: false })), [false, true]);
    });

    it("is not paused when it is muted, out of sight or without a slot", () => {
        assert.deepEqual(state(tile({ verdict: "none", layer: nothing }, { muted: { audio: false, video: true } })), [false, false]);
        assert.deepEqual(state(tile({ verdict: "none", layer: nothing }), false), [false, false]);
        assert.deepEqual(state(tile({ verdict: "none", layer: nothing, receiver: null })), [false, false]);
    });

    it("of a screen on which nothing moves keeps its picture", () => {
        assert.deepEqual(state(tile({}, { screen: shown({ source: "screen", verdict: "none" }) }), true, "screen"), [true, false]);
        assert.deepEqual(state(tile({}, { screen: shown({ source: "screen", verdict: "not_encrypted" }) }), true, "screen"), [false, false]);
        assert.deepEqual(state(tile({}), true, "screen"), [false, false]);
    });
});

describe("the level of a microphone", () => {
    it("goes from silence to full scale", () => {
        assert.equal(loudness(0), 0);
        assert.equal(loudness(1e-9), 0);
        assert.equal(loudness(1), 1);
        assert.ok(loudness(0.001) > 0.4 && loudness(0.001) < 0.5);
    });
});
