import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Handover } from "../src/conference/handover.ts";
import { readAnswerUntrusted, Resuming, type ResumingPorts } from "../src/conference/resuming.ts";
import type { Received, Shown, TileView, Voice } from "../src/conference/received.ts";
import { Malformed } from "../src/protocol/check.ts";
import { Trouble } from "../src/protocol/errors.ts";
import type { PeerStats } from "../src/call/stats.ts";
import type { Member } from "../src/protocol/messages.ts";
import type { Source } from "../src/protocol/names.ts";

/** `fails`: what each attempt throws; when they are used up, one succeeds. */
function begin(fails: (Error | null)[], more: Partial<ResumingPorts> = {}) {
    const waited: number[] = [];
    const seen = { attempts: 0, gaveUp: 0, now: 0 };
    const resuming = new Resuming({
        needed: () => true,
        lostSince: () => null,
        attempt: async () => {
            const error = fails[seen.attempts++];
            if (error) throw error;
        },
        giveUp: () => void seen.gaveUp++,
        wait: async (ms) => {
            waited.push(ms);
            seen.now += ms;
        },
        now: () => seen.now,
        random: () => 0.5,
        ...more,
    });
    return { resuming, waited, seen };
}

describe("coming back", () => {
    it("waits at random first, then longer and longer", async () => {
        const { resuming, waited, seen } = begin(Array.from({ length: 5 }, () => new TypeError("no network")));
        await resuming.run();
        assert.deepEqual(waited, [1000, 1000, 2000, 4000, 8000, 8000]);
        assert.deepEqual([seen.attempts, seen.gaveUp], [6, 0]);
    });

    it("ends when the first connection comes back by itself", async () => {
        const { resuming, seen } = begin([], { needed: () => false });
        await resuming.run();
        assert.deepEqual([seen.attempts, seen.gaveUp], [0, 0]);
    });

    it("is one at a time", async () => {
        const { resuming, seen } = begin([]);
        await Promise.all([resuming.run(), resuming.run()]);
        assert.equal(seen.attempts, 1);
    });

    it("is given up for a new call when the focus does not know us, and when the path has been gone for long", async () => {
        const unknown = begin([new Trouble("busy"), new Trouble("resume_unknown")]);
        await unknown.resuming.run();
        assert.deepEqual([unknown.seen.attempts, unknown.seen.gaveUp], [2, 1]);
        const lost = begin(Array.from({ length: 20 }, () => new TypeError("no network")), { lostSince: () => 0 });
        await lost.resuming.run();
        assert.equal(lost.seen.gaveUp, 1);
        assert.ok(lost.seen.now >= 40000 && lost.seen.now < 50000, String(lost.seen.now));
    });

    it("reads the focus' answer, and nothing else for one", () => {
        assert.deepEqual(readAnswerUntrusted({ member: 3, answer: { type: "answer", sdp: "v=0" }, sdp_stream_metadata: {} }), { member: 3, sdp: "v=0" });
        assert.throws(() => readAnswerUntrusted({ error: { code: "resume_unknown", message: "gone" } }), (error) => error instanceof Trouble && error.code === "resume_unknown");
        for (const wrong of [null, [], {}, { member: 0, answer: { type: "answer", sdp: "x" } }, { member: 3, answer: { type: "offer", sdp: "x" } }, { member: 3, answer: { type: "answer" } }]) {
            assert.throws(() => readAnswerUntrusted(wrong), Malformed);
        }
    });
});

/** A connection on which these of bob's sources have been opened, and a slot for the loudest. */
function received(name: string, opened: Source[], told = true): Received {
    const shown = (source: Source): Shown =>
        ({ source, carried: { member: 2, source }, verdict: opened.includes(source) ? "decrypting" : "none", opened: opened.includes(source), receiver: `${name}/${source}` }) as unknown as Shown;
    return {
        told,
        tile: ({ member }: Member) => ({ member, audio: shown("audio"), camera: shown("camera"), screen: null }) as unknown as TileView,
        voices: () => [{ receiver: `${name}/audio`, loudest: false }, { receiver: `${name}/loudest`, loudest: true }] as unknown as Voice[],
        carried: (receiver: string) => ({ member: 2, source: receiver.endsWith("/audio") ? "audio" : null }),
        alive: () => opened.map((source) => ({ member: 2, source })),
        receiverOf: ({ source }: { source: Source | null }) => (source === null || source === "screen" ? null : `${name}/${source}`),
        opens: (receiver: string) => opened.some((source) => receiver === `${name}/${source}`),
    } as unknown as Received;
}

describe("while a second connection takes over", () => {
    const bob = { member: 2 } as Member;
    const receivers = (handover: Handover) => [handover.tile(bob).audio.receiver, handover.tile(bob).camera.receiver];

    it("each picture and sound is the first's until the second's is opened", () => {
        const before = received("old", ["audio", "camera"]);
        const nothing = new Handover(before, received("new", [], false));
        assert.deepEqual([receivers(nothing), nothing.done], [["old/audio", "old/camera"], false]);
        const sound = new Handover(before, received("new", ["audio"]));
        assert.deepEqual([receivers(sound), sound.done], [["new/audio", "old/camera"], false]);
        const all = new Handover(before, received("new", ["audio", "camera"]));
        assert.deepEqual([receivers(all), all.done], [["new/audio", "old/camera"], false], "not decoded yet");
        all.read({ receivers: [{ receiver: "new/camera", framesDecoded: 1 }] } as unknown as PeerStats);
        assert.deepEqual([receivers(all), all.done], [["new/audio", "new/camera"], true]);
    });

    it("what the first does not show, or nobody sends any more, is not waited for", () => {
        assert.ok(new Handover(received("old", []), received("new", [])).done);
        assert.ok(new Handover(received("old", ["screen"]), received("new", [])).done);
        assert.deepEqual(receivers(new Handover(received("old", []), received("new", []))), ["new/audio", "new/camera"]);
    });

    it("nobody is heard twice", () => {
        const heard = (opened: Source[]) => new Handover(received("old", ["audio"]), received("new", opened)).voices().map(({ receiver }) => receiver);
        assert.deepEqual(heard([]), ["old/audio", "old/loudest"]);
        assert.deepEqual(heard(["audio"]), ["old/loudest", "new/audio"]);
    });
});
