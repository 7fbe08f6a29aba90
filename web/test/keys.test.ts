import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KeyOwners } from "../src/keys/owners.ts";
import { MissingKeys } from "../src/keys/requests.ts";
import { KeySchedule } from "../src/keys/schedule.ts";
import { joinKid, splitKid } from "../src/keys/kid.ts";

describe("key schedule", () => {
    it("first keys at once, then used as soon as the homeserver has them", () => {
        const schedule = new KeySchedule();
        assert.deepEqual(schedule.next(0), { do: "wait", until: null });
        schedule.start();
        assert.deepEqual(schedule.next(0), { do: "send", change: "first" });
        assert.deepEqual(schedule.next(0.1), { do: "wait", until: null });
        schedule.accepted(0.2);
        assert.deepEqual(schedule.next(0.2), { do: "use" });
        assert.deepEqual(schedule.next(0.2), { do: "wait", until: null });
    });

    const running = (): KeySchedule => {
        const schedule = new KeySchedule();
        schedule.start();
        schedule.next(0);
        schedule.accepted(0);
        schedule.next(0);
        return schedule;
    };

    it("joins within five seconds melt into one step", () => {
        const schedule = running();
        schedule.memberJoined();
        assert.deepEqual(schedule.next(1), { do: "wait", until: 5 });
        schedule.memberJoined();
        assert.deepEqual(schedule.next(5), { do: "send", change: "step" });
        schedule.accepted(5.1);
        assert.deepEqual(schedule.next(5.1), { do: "use" });
    });

    it("a join after a quiet time is served at once", () => {
        const schedule = running();
        schedule.memberJoined();
        assert.deepEqual(schedule.next(60), { do: "send", change: "step" });
    });

    it("a leave outweighs joins, and its key waits one second before use", () => {
        const schedule = running();
        schedule.memberJoined();
        schedule.memberLeft();
        schedule.memberJoined();
        assert.deepEqual(schedule.next(9), { do: "send", change: "new" });
        schedule.accepted(9.5);
        assert.deepEqual(schedule.next(9.6), { do: "wait", until: 10.5 });
        schedule.memberJoined();
        assert.deepEqual(schedule.next(10.5), { do: "use" });
        assert.deepEqual(schedule.next(10.6), { do: "wait", until: 14 });
        assert.deepEqual(schedule.next(14), { do: "send", change: "step" });
    });

    it("a failed sending is repeated, as the stronger of what failed and what came meanwhile", () => {
        const schedule = running();
        schedule.memberJoined();
        schedule.next(10);
        schedule.memberLeft();
        schedule.failed(10.5);
        assert.deepEqual(schedule.next(14), { do: "wait", until: 15 });
        assert.deepEqual(schedule.next(15), { do: "send", change: "new" });
        schedule.memberJoined();
        schedule.failed(16);
        assert.deepEqual(schedule.next(20), { do: "send", change: "new" });
    });

    it("failed first keys stay first keys", () => {
        const schedule = new KeySchedule();
        schedule.start();
        schedule.next(0);
        schedule.memberLeft();
        schedule.failed(0);
        assert.deepEqual(schedule.next(5), { do: "send", change: "first" });
    });
});

describe("who owns a member number", () => {
    const key = { source: 0, epoch: 0, ratchet: 0, key: new Uint8Array(16) };
    const claim = (member: number, userId: string, deviceId: string) => ({ member, userId, deviceId, keys: [key] });

    it("keys before the roster wait, and only those of the named device come through", () => {
        const owners = new KeyOwners();
        assert.equal(owners.offer(claim(3, "@eve:x", "E")), "early");
        assert.equal(owners.offer(claim(3, "@bob:x", "B")), "early");
        assert.deepEqual(owners.admit(3, "@bob:x", "B"), [claim(3, "@bob:x", "B")]);
        assert.equal(owners.offer(claim(3, "@bob:x", "B")), "accepted");
        assert.equal(owners.offer(claim(3, "@bob:x", "B2")), "refused");
        assert.equal(owners.offer(claim(3, "@eve:x", "B")), "refused");
    });

    it("a roster that gives the number to another device is not believed", () => {
        const owners = new KeyOwners();
        assert.deepEqual(owners.admit(3, "@bob:x", "B"), []);
        assert.equal(owners.admit(3, "@eve:x", "E"), false);
        assert.deepEqual(owners.admit(3, "@bob:x", "B"), []);
        assert.equal(owners.offer(claim(3, "@eve:x", "E")), "refused");
    });

    it("early keys are bounded", () => {
        const owners = new KeyOwners();
        for (let i = 0; i < 1000; i++) owners.offer(claim(3, "@bob:x", "B"));
        assert.equal((owners.admit(3, "@bob:x", "B") as unknown[]).length, 256);
    });
});

describe("asking for a missing key", () => {
    it("after a moment's patience, then once in three seconds for each member", () => {
        const missing = new MissingKeys();
        assert.equal(missing.shouldAsk(3, 10, 10.1), false);
        assert.equal(missing.shouldAsk(3, 10, 10.4), true);
        assert.equal(missing.shouldAsk(3, 10, 11), false);
        assert.equal(missing.shouldAsk(4, 10, 11), true);
        assert.equal(missing.shouldAsk(3, 10, 13.5), true);
    });
});

describe("key ids", () => {
    it("member, source, epoch mod 4096, ratchet mod 256 in 40 bits", () => {
        assert.equal(joinKid({ member: 3, source: 1, epoch: 4, ratchet: 2 }), 0x0003100402);
        assert.equal(joinKid({ member: 65535, source: 3, epoch: 4097, ratchet: 258 }), 0xffff300102);
        assert.deepEqual(splitKid(0xffff300102), { member: 65535, source: 3, epoch: 1, ratchet: 2 });
        assert.equal(splitKid(0xffffff), null);
        assert.equal(splitKid(2 ** 40), null);
    });
});
