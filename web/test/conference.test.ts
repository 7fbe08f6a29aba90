import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Roster } from "../src/conference/roster.ts";
import { slotsToAdd, Slots } from "../src/conference/slots.ts";
import { applyWanted, firstEncodings } from "../src/call/encodings.ts";
import type { WantedEncoding } from "../src/protocol/adaptation.ts";
import type { Member } from "../src/protocol/messages.ts";
import type { Rid } from "../src/protocol/names.ts";

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

    it("a whole roster that comes in parts is one, and nobody has left in between", () => {
        const roster = new Roster();
        roster.apply({ reset: true, present: [member(1), member(2), member(3)], gone: [] });
        const part = { present: [member(1)], gone: [], reset: true, more: true };
        assert.equal(roster.gather(part), null);
        assert.equal(roster.gather({ ...part, present: [member(9)], reset: false }), null);
        assert.equal(roster.gather(part), null); // from the beginning: another connection
        assert.equal(roster.gather({ ...part, present: [member(2), member(4)], reset: false }), null);
        const whole = roster.gather({ present: [member(5)], gone: [4], reset: false, more: false });
        assert.deepEqual(roster.apply(whole!), { joined: [member(5)], left: [3] });
        const change = { present: [member(6)], gone: [], reset: false, more: false };
        assert.equal(roster.gather(change), change);
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

    it("grow in steps of four to sixteen; beyond that there are some for the loudest", () => {
        const added = (pictures: number, pairs: number, loudest = 0, most = 16) => Object.values(slotsToAdd(pictures, pairs, loudest, most));
        assert.deepEqual([[3, 4], [4, 4], [5, 4], [8, 8], [9, 8]].map(([n, p]) => added(n!, p!)), [[0, 0], [0, 0], [4, 0], [0, 0], [4, 0]]);
        assert.deepEqual(added(17, 8), [8, 3]);
        assert.deepEqual(added(40, 16, 3), [0, 0]);
        assert.deepEqual(added(3, 1, 0, 1), [0, 3]);
    });
});

describe("encodings", () => {
    const parts = (encodings: RTCRtpEncodingParameters[]) => encodings.map(({ rid, active, maxBitrate, scaleResolutionDownBy, maxFramerate }) => [rid, active, maxBitrate, scaleResolutionDownBy, maxFramerate]);

    it("begin with the thumbnail alone and follow what the focus wants", () => {
        const encodings = firstEncodings();
        assert.deepEqual(encodings.map(({ rid, active }) => [rid, active]), [["t", true], ["m", false], ["f", false]]);
        assert.equal(applyWanted(encodings, null), false, "not said yet");
        assert.equal(applyWanted(encodings, new Map([["t", { active: true }]])), false);
        assert.equal(applyWanted(encodings, new Map([["t", { active: true }], ["f", { active: true, maxBitrate: 900000 }]])), true);
        assert.equal(encodings[2]!.maxBitrate, 900000);
        assert.equal(applyWanted(encodings, new Map([["m", { active: true }]])), true);
        assert.deepEqual(parts(encodings), [["t", false, 150000, 4, 15], ["m", true, 500000, 2, 30], ["f", false, 1700000, 1, 30]], "unnamed ones are off");
    });

    it("are scaled by what the focus says on top of their own scale, and back", () => {
        const encodings = firstEncodings();
        const clamped = { active: true, maxBitrate: 250000, scaleResolutionDownBy: 1.5, maxFramerate: 15 };
        assert.equal(applyWanted(encodings, new Map<Rid, WantedEncoding>([["m", clamped], ["t", { active: true }]])), true);
        assert.deepEqual(parts(encodings)[1], ["m", true, 250000, 3, 15]);
        // Firefox gives numbers back a little off.
        encodings[1]!.scaleResolutionDownBy = 3.000001;
        assert.equal(applyWanted(encodings, new Map<Rid, WantedEncoding>([["m", clamped], ["t", { active: true }]])), false);
        assert.equal(applyWanted(encodings, new Map([["m", { active: true }], ["t", { active: true }]])), true);
        assert.deepEqual(parts(encodings)[1], ["m", true, 500000, 2, 30]);
    });

    it("of a screen keep the detail and let frames go", () => {
        assert.deepEqual(firstEncodings("screen").map(({ rid, scaleResolutionDownBy, maxFramerate }) => [rid, scaleResolutionDownBy, maxFramerate]), [["t", 2, 5], ["f", 1, 15]]);
    });
});
