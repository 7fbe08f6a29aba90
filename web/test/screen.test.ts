import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ReceiverVerdict, type FrameResult } from "../src/sframe/verdict.ts";
import { layout } from "../src/viewing/layout.ts";
import { lockOf, ownLock } from "../src/ui/lock.ts";

const KID = { member: 3, source: 1, epoch: 0, ratchet: 0 };

describe("a receiver's verdict", () => {
    const feed = (verdict: ReceiverVerdict, results: FrameResult[], from: number) =>
        results.forEach((result, i) => verdict.frame(result, result === "not_encrypted" ? null : KID, from + 20 * i));

    it("says since when a key is missing, and forgets it once frames open", () => {
        const verdict = new ReceiverVerdict();
        feed(verdict, ["missing_key", "missing_key"], 1000);
        assert.deepEqual({ ...verdict.report(1100), counts: null }, { verdict: "missing_key", member: 3, source: 1, epoch: 0, missingSince: 1000, begun: false, counts: null });
        feed(verdict, ["decrypted"], 1200);
        assert.equal(verdict.report(1250), null, "at most four a second");
        assert.deepEqual([verdict.report(1400)].map((r) => [r?.verdict, r?.missingSince]), [["decrypting", null]]);
        assert.equal(verdict.report(1700), null, "nothing new");
    });

    it("one damaged frame is not a wrong key; three in a row are", () => {
        const verdict = new ReceiverVerdict();
        feed(verdict, ["decrypted", "wrong_key", "decrypted"], 0);
        assert.equal(verdict.report(300)?.verdict, "decrypting");
        feed(verdict, ["wrong_key", "wrong_key", "wrong_key"], 400);
        assert.equal(verdict.report(600)?.verdict, "wrong_key");
    });

    it("a frame in clear is shown for three seconds at least", () => {
        const verdict = new ReceiverVerdict();
        feed(verdict, ["decrypted", "not_encrypted", "decrypted"], 0);
        assert.equal(verdict.report(300)?.verdict, "not_encrypted");
        feed(verdict, ["decrypted"], 2900);
        assert.equal(verdict.report(2950)?.verdict, "not_encrypted");
        feed(verdict, ["decrypted"], 3100);
        assert.equal(verdict.report(3250)?.verdict, "decrypting");
    });

    it("silence and a slot that changed hands say nothing", () => {
        const verdict = new ReceiverVerdict();
        feed(verdict, ["decrypted"], 0);
        assert.equal(verdict.report(300)?.verdict, "decrypting");
        assert.equal(verdict.report(2100)?.verdict, "none");
        feed(verdict, ["missing_key"], 3000);
        verdict.reset();
        assert.deepEqual([verdict.report(3300)].map((r) => [r?.verdict, r?.member]), [["none", null]]);
    });
});

describe("the lock", () => {
    it("shows the worst of sound and picture", () => {
        assert.equal(lockOf("Bob", ["decrypting", "decrypting"]).tone, "good");
        assert.equal(lockOf("Bob", ["decrypting", "none"]).tone, "good");
        assert.equal(lockOf("Bob", ["decrypting", "missing_key"]).tone, "waiting");
        assert.equal(lockOf("Bob", ["missing_key", "wrong_key"]).label, "Wrong key");
        assert.equal(lockOf("Bob", ["not_encrypted", "decrypting"]).label, "Not encrypted");
        assert.equal(lockOf("Bob", ["none", "none"]).tone, "quiet");
        assert.match(lockOf("Bob", ["missing_key"]).text, /Bob/);
        const asked = lockOf("Bob", ["missing_key"], { seconds: 7, asked: true });
        assert.match(`${asked.label}: ${asked.text}`, /asked again.* 7 s.*asked for it again/);
    });

    it("of the own tile is green only when frames left encrypted", () => {
        assert.deepEqual([ownLock(0, true).tone, ownLock(5, true).tone, ownLock(5, false).tone], ["waiting", "good", "quiet"]);
    });
});

describe("layout", () => {
    it("keeps every tile inside, without overlap and large enough for a face, at any number and size", () => {
        for (const [width, height] of [[1256, 690], [366, 700], [700, 366], [2560, 1300]] as const) {
            for (let count = 1; count <= 40; count++) {
                for (const large of [null, 0, count - 1]) {
                    const rects = layout(count, large, width, height);
                    assert.equal(rects.length, count);
                    rects.forEach((a, i) => {
                        assert.ok(a.left >= -0.5 && a.top >= -0.5 && a.left + a.width <= width + 0.5, `${count} ${large} ${width} ${JSON.stringify(a)}`);
                        // Only where tiles are as small as they get, the stage is scrolled.
                        const smallest = Math.min(...rects.map((rect) => rect.width)) < 125;
                        assert.ok(smallest || a.top + a.height <= height + 0.5, `${count} ${large} ${width}x${height} ${JSON.stringify(a)}`);
                        assert.ok(a.width >= 95.5 && a.height >= 53.5, `${count} ${large} ${width}x${height} ${JSON.stringify(a)}`);
                        // Of two people one may lie in the corner of the other.
                        const inset = count === 2 && large !== null;
                        for (const b of inset ? [] : rects.slice(i + 1)) {
                            const apart = a.left + a.width <= b.left + 0.5 || b.left + b.width <= a.left + 0.5 || a.top + a.height <= b.top + 0.5 || b.top + b.height <= a.top + 0.5;
                            assert.ok(apart, `${count} ${large} ${width}x${height}`);
                        }
                    });
                }
            }
        }
    });

    it("gives the focused tile most of the room", () => {
        const rects = layout(4, 1, 1256, 690);
        assert.ok(rects[1]!.width > 3 * rects[0]!.width);
        for (const count of [17, 40]) assert.ok(layout(count, 0, 1256, 690)[0]!.width > 550, `${count}`);
    });
});
