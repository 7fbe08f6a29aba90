import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Roster } from "../src/conference/roster.ts";
import { pairsToAdd, Slots } from "../src/conference/slots.ts";
import { Subscriptions } from "../src/conference/subscriptions.ts";
import { applyWanted, firstEncodings } from "../src/call/encodings.ts";
import { chooseConference } from "../src/matrix/announce.ts";
import type { Member } from "../src/protocol/messages.ts";

const member = (number: number, userId = `@u${number}:x`): Member => ({
    member: number, userId, deviceId: `D${number}`, audioMuted: false, videoMuted: false, sources: ["audio", "camera"],
});

describe("roster", () => {
    it("tells who joined and who left, and a reset names the missing ones", () => {
        const roster = new Roster();
        assert.deepEqual(roster.apply({ reset: true, present: [member(1), member(2)], gone: [] }), { joined: [member(1), member(2)], left: [] });
        assert.deepEqual(roster.apply({ reset: false, present: [{ ...member(2), audioMuted: true }], gone: [7] }), { joined: [], left: [] });
        assert.equal(roster.members.get(2)?.audioMuted, true);
        assert.deepEqual(roster.apply({ reset: false, present: [member(3)], gone: [1] }), { joined: [member(3)], left: [1] });
        assert.deepEqual(roster.apply({ reset: true, present: [member(3)], gone: [] }), { joined: [], left: [2] });
        assert.deepEqual(roster.others(3), []);
    });

    it("a number is one device's for good, whatever is said later", () => {
        const roster = new Roster();
        roster.apply({ reset: true, present: [member(1), member(2)], gone: [] });
        assert.deepEqual(roster.apply({ reset: false, present: [member(2, "@u1:x")], gone: [] }), { joined: [], left: [] });
        assert.equal(roster.members.get(2)?.userId, "@u2:x");
        assert.deepEqual(roster.apply({ reset: false, present: [member(2, "@u1:x")], gone: [2] }), { joined: [], left: [2] });
        assert.equal(roster.members.has(2), false);
    });
});

describe("slots", () => {
    const named = (mid: string) => ({ "2": "audio0", "3": "video0", "5": "video1" })[mid];
    const slot = (mid: string, who: number | null) => ({ mid, member: who, source: who === null ? null : ("camera" as const) });

    it("tell what changed; an older list changes nothing", () => {
        const slots = new Slots();
        assert.deepEqual(slots.apply(1, [slot("3", 5), slot("5", null)], named), [{ receiver: "video0", member: 5, source: "camera" }, { receiver: "video1", member: null, source: null }]);
        assert.deepEqual(slots.apply(1, [slot("3", null)], named), []);
        assert.deepEqual(slots.apply(2, [slot("3", 5), slot("5", 6), slot("99", 7)], named), [{ receiver: "video1", member: 6, source: "camera" }]);
        assert.equal(slots.receiverOf(6, "camera"), "video1");
        assert.equal(slots.receiverOf(7, "camera"), null);
    });

    it("a slot the whole list does not name carries nothing", () => {
        const slots = new Slots();
        slots.apply(1, [slot("3", 5)], named);
        assert.deepEqual(slots.apply(2, [], named), [{ receiver: "video0", member: null, source: null }]);
    });

    it("grow in steps of four to sixteen", () => {
        assert.deepEqual([[3, 4], [4, 4], [5, 4], [8, 8], [9, 8], [17, 8], [40, 16]].map(([n, p]) => pairsToAdd(n!, p!)), [0, 0, 4, 0, 4, 8, 0]);
    });
});

describe("subscriptions", () => {
    it("say only what differs from what the focus knows", () => {
        const subscriptions = new Subscriptions();
        const full = (who: number | null) => (one: number) => (one === who ? ("full" as const) : ("thumbnail" as const));
        assert.equal(subscriptions.update([1, 2], full(null)), null);
        assert.deepEqual(subscriptions.update([1, 2], full(2)), {
            type: "m.call.track_subscription",
            content: { subscribe: [{ stream_id: "2", track_id: "camera", width: 1280, height: 720 }], unsubscribe: [] },
        });
        assert.equal(subscriptions.update([1, 2], full(2)), null);
        assert.deepEqual(subscriptions.update([1, 2], full(1)), {
            type: "m.call.track_subscription",
            content: {
                subscribe: [
                    { stream_id: "1", track_id: "camera", width: 1280, height: 720 },
                    { stream_id: "2", track_id: "camera", width: 320, height: 180 },
                ],
                unsubscribe: [],
            },
        });
    });
});

describe("encodings", () => {
    it("begin with the thumbnail alone and follow what the focus wants", () => {
        const encodings = firstEncodings();
        assert.deepEqual(encodings.map(({ rid, active }) => [rid, active]), [["t", true], ["m", false], ["f", false]]);
        assert.equal(applyWanted(encodings, new Map([["t", { active: true }]])), false);
        assert.equal(applyWanted(encodings, new Map([["t", { active: true }], ["f", { active: true, maxBitrate: 900000 }]])), true);
        assert.equal(encodings[2]!.maxBitrate, 900000);
        assert.equal(applyWanted(encodings, new Map([["t", { active: false }]])), true);
        assert.deepEqual(encodings.map(({ active, maxBitrate }) => [active, maxBitrate]), [[false, 150000], [false, 500000], [false, 1700000]]);
    });
});

describe("announcements", () => {
    const announcement = (sender: string, created: number, more: object = {}, stateKey: string | undefined = sender) => ({
        stateKey: stateKey as string | undefined,
        sender,
        at: 0,
        content: { conference_id: `${created}`.padStart(22, "x"), focus: { user_id: "@sotto:x" }, created_ts: created, ...more },
    });

    it("the newest that has not ended counts, under its writer's own key only", () => {
        const chosen = (...all: ReturnType<typeof announcement>[]) => chooseConference(all)?.createdTs ?? null;
        assert.equal(chosen(), null);
        assert.equal(chosen(announcement("@a:x", 5), announcement("@b:x", 7)), 7);
        assert.equal(chosen(announcement("@a:x", 5), announcement("@b:x", 7, { ended: true })), 5);
        assert.equal(chosen(announcement("@a:x", 5), announcement("@b:x", 9, {}, "@a:x"), announcement("@b:x", 8, {}, "")), 5);
        assert.equal(chosen(announcement("@a:x", 5), announcement("@b:x", 7, { focus: "nonsense" })), 5);
        assert.equal(chosen(announcement("@a:x", 5, { ended: true }), { ...announcement("@a:x", 6), stateKey: undefined }), 6);
    });
});
