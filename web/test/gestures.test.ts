import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Gestures } from "../src/conference/gestures.ts";
import { Malformed } from "../src/protocol/check.ts";
import { parseHand, parseReaction, REACTIONS } from "../src/protocol/gestures.ts";
import { EVENT } from "../src/protocol/names.ts";

const ID = "abcdefghijklmnopqrstuv";

function begin() {
    const sent: [string, Record<string, unknown>][] = [];
    const clock = { now: 1_000_000 };
    const gestures = new Gestures({
        conferenceId: ID,
        send: async (type, content) => void sent.push([type, content]),
        ownerOf: (member) => ({ 1: "@a:x", 2: "@b:x", 9: "@self:x" })[member] ?? null,
        self: () => 9,
        changed: () => undefined,
        now: () => clock.now,
    });
    const hand = (member: number, raised: boolean, more: object = {}) =>
        gestures.arrived({ type: EVENT.hand, content: { conference_id: ID, member, raised }, sender: member === 1 ? "@a:x" : "@b:x", encrypted: true, ...more });
    return { gestures, sent, clock, hand };
}

describe("raised hands", () => {
    it("wait in the order in which they came up", async () => {
        const { gestures, hand, clock, sent } = begin();
        hand(2, true);
        clock.now += 10;
        await gestures.raise(true);
        clock.now += 10;
        hand(1, true);
        hand(2, true);
        assert.deepEqual(gestures.hands, [2, 9, 1]);
        hand(2, false);
        gestures.memberLeft(1);
        assert.deepEqual(gestures.hands, [9]);
        assert.deepEqual(sent, [[EVENT.hand, { conference_id: ID, member: 9, raised: true }]]);
        gestures.close();
    });

    it("nobody raises another's, nor without encryption, nor in another conference; none stays up for ever", () => {
        const { gestures, hand, clock } = begin();
        hand(2, true, { sender: "@a:x" });
        hand(2, true, { encrypted: false });
        hand(2, true, { content: { conference_id: `${ID}x`, member: 2, raised: true } });
        hand(7, true);
        assert.deepEqual(gestures.hands, []);
        hand(2, true);
        clock.now += 31 * 60000;
        assert.deepEqual(gestures.hands, []);
    });
});

describe("reactions", () => {
    it("are shown for a while, and not sent faster than a homeserver likes", async () => {
        const { gestures, clock, sent } = begin();
        await gestures.react("👏");
        await gestures.react("🎉");
        assert.equal(sent.length, 1);
        assert.equal(gestures.reaction(9), "👏");
        gestures.arrived({ type: EVENT.reaction, content: { conference_id: ID, member: 1, key: "❤️" }, sender: "@a:x", encrypted: true });
        assert.equal(gestures.reaction(1), "❤️");
        clock.now += 6000;
        assert.equal(gestures.reaction(1), null);
        gestures.close();
    });

    it("are pictures, not words", () => {
        const event = { conference_id: ID, member: 1 };
        for (const key of [...REACTIONS, "👍🏽", "👩‍💻"]) assert.equal(parseReaction({ ...event, key }).key, key);
        for (const key of ["", "hello", "👍 you", "1", "x".repeat(40), 5]) assert.throws(() => parseReaction({ ...event, key }), Malformed, String(key));
        assert.throws(() => parseHand({ ...event, raised: "yes" }), Malformed);
        assert.throws(() => parseHand({ ...event, member: 0, raised: true }), Malformed);
    });
});
