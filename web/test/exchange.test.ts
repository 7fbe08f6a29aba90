import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { KeyExchange, type Device } from "../src/keys/exchange.ts";
import { OwnKeys } from "../src/keys/ownkeys.ts";
import type { MediaKey, MediaKeys } from "../src/protocol/events.ts";
import type { Member } from "../src/protocol/messages.ts";

const ROOM = ["@alice:test", "@bob:test"];

function member(number: number, userId: string): Member {
    return { member: number, userId, deviceId: "D", audioMuted: false, videoMuted: false, sources: [] };
}

function keysOf(number: number): MediaKeys {
    return { conferenceId: "c", member: number, deviceId: "D", keys: [{ source: 0, epoch: 0, ratchet: 0, key: new Uint8Array(16) }] };
}

/** Alice, number 1, with keys of her own in use; what she gives away and takes. */
async function alice(): Promise<{ exchange: KeyExchange; sent: Device[]; broadcast: Device[][]; taken: number[] }> {
    const sent: Device[] = [];
    const broadcast: Device[][] = [];
    const taken: number[] = [];
    const exchange = new KeyExchange(
        { conferenceId: "c", self: { userId: "@alice:test", deviceId: "D" }, sources: ["audio"], ignoreOthers: false },
        {
            broadcast: async (_, members) => void broadcast.push(members),
            sendKeysTo: async (_, device) => void sent.push(device),
            requestFrom: async () => undefined,
            install: (side, number) => side === "receive_key" && taken.push(number),
            drop: () => undefined,
            isInRoom: (userId) => ROOM.includes(userId),
            now: () => 0,
        },
    );
    exchange.memberJoined(member(2, "@bob:test"), false);
    exchange.memberJoined(member(3, "@focus:test"), false);
    exchange.start(1);
    await new Promise((resolve) => setImmediate(resolve));
    return { exchange, sent, broadcast, taken };
}

const REQUEST = { conferenceId: "c", member: 1, source: 0, epoch: 0 };

describe("key exchange", () => {
    it("gives keys to members who are in the room, whoever else the focus names", async () => {
        const { exchange, sent, broadcast } = await alice();
        assert.deepEqual(broadcast.map((each) => each.map(({ userId }) => userId)), [["@bob:test"]]);
        await exchange.requestArrived(REQUEST, { userId: "@focus:test", deviceId: "D" });
        assert.deepEqual(sent, []);
        await exchange.requestArrived(REQUEST, { userId: "@bob:test", deviceId: "D" });
        assert.deepEqual(sent, [{ userId: "@bob:test", deviceId: "D" }]);
    });

    it("takes keys of those in the room alone, and of a member who left no more", async () => {
        const { exchange, taken } = await alice();
        exchange.keysArrived(keysOf(3), { userId: "@focus:test", deviceId: "D" });
        assert.deepEqual(taken, []);
        exchange.keysArrived(keysOf(2), { userId: "@bob:test", deviceId: "D" });
        assert.deepEqual(taken, [2]);
        exchange.memberLeft(2);
        exchange.memberJoined(member(2, "@bob:test"), true);
        exchange.keysArrived(keysOf(2), { userId: "@bob:test", deviceId: "D" });
        assert.deepEqual(taken, [2]);
        exchange.stop();
    });
});

/** Alice with a clock: what Bob (2), Carol (3) and the room are given, each key as "to epoch.ratchet". */
async function aliceAt(t: TestContext, room: Set<string>) {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let now = 0;
    const given: string[] = [];
    const note = (to: string, { keys }: MediaKeys) => void given.push(...keys.map((key) => `${to} ${key.epoch}.${key.ratchet}`));
    const exchange = new KeyExchange(
        { conferenceId: "c", self: { userId: "@alice:test", deviceId: "D" }, sources: ["audio"], ignoreOthers: false },
        {
            broadcast: async (keys, members) => note(`all(${members.map(({ userId }) => userId[1]).join("")})`, keys),
            sendKeysTo: async (keys, device) => note(device.userId[1]!, keys),
            requestFrom: async () => undefined,
            install: (side, _, key) => side === "send_key" && given.push(`used ${key.epoch}.${key.ratchet}`),
            drop: () => undefined,
            isInRoom: (userId) => room.has(userId),
            now: () => now,
        },
    );
    /** Passes time, then returns what was given since the last call, once `expected` things were or nothing more comes. */
    const at = async (time: number, expected: number): Promise<string[]> => {
        const passed = time - now;
        now = time;
        t.mock.timers.tick(1000 * passed + 1);
        const patience = Date.now() + (expected > 0 ? 60000 : 20);
        while (given.length < expected || (expected === 0 && Date.now() < patience)) {
            assert.ok(expected === 0 || Date.now() < patience, `only ${given.join(", ")}`);
            await new Promise((resolve) => setImmediate(resolve));
        }
        return given.splice(0);
    };
    exchange.memberJoined(member(2, "@bob:test"), false);
    exchange.start(1);
    assert.deepEqual(await at(0, 2), ["all(b) 0.0", "used 0.0"]);
    return { exchange, at };
}

describe("who may have which key", () => {
    it("a newcomer's request waits for the step made for it; others are answered at once", async (t) => {
        const { exchange, at } = await aliceAt(t, new Set(["@bob:test", "@carol:test"]));
        assert.deepEqual(await at(20, 0), []);
        exchange.memberJoined(member(3, "@carol:test"), true);
        await exchange.requestArrived(REQUEST, { userId: "@carol:test", deviceId: "D" });
        await exchange.requestArrived(REQUEST, { userId: "@bob:test", deviceId: "D" });
        assert.deepEqual(await at(20, 4), ["b 0.0", "all(bc) 0.1", "c 0.1", "used 0.1"]);
        await exchange.requestArrived(REQUEST, { userId: "@carol:test", deviceId: "D" });
        assert.deepEqual(await at(23, 0), []);
        await exchange.requestArrived(REQUEST, { userId: "@carol:test", deviceId: "D" });
        assert.deepEqual(await at(24, 1), ["c 0.1"]);
        exchange.stop();
    });

    it("who comes within 5 s of a key's making is given it at once, and the step follows", async (t) => {
        const { exchange, at } = await aliceAt(t, new Set(["@bob:test", "@carol:test"]));
        assert.deepEqual(await at(4, 0), []);
        exchange.memberJoined(member(3, "@carol:test"), true);
        await exchange.requestArrived(REQUEST, { userId: "@carol:test", deviceId: "D" });
        assert.deepEqual(await at(4, 1), ["c 0.0"]);
        assert.deepEqual(await at(5, 2), ["all(bc) 0.1", "used 0.1"]);
        exchange.stop();
    });

    it("a member who is made to leave the room gets no key and ends the epoch, once", async (t) => {
        const room = new Set(["@bob:test", "@carol:test"]);
        const { exchange, at } = await aliceAt(t, room);
        exchange.memberJoined(member(3, "@carol:test"), true);
        assert.deepEqual(await at(5, 2), ["all(bc) 0.1", "used 0.1"]);
        room.delete("@bob:test");
        exchange.roomChanged("@bob:test");
        exchange.roomChanged("@bob:test");
        exchange.roomChanged("@dan:test");
        await exchange.requestArrived(REQUEST, { userId: "@bob:test", deviceId: "D" });
        assert.deepEqual(await at(10, 1), ["all(c) 1.0"]);
        assert.deepEqual(await at(11, 1), ["used 1.0"]);
        exchange.memberLeft(2);
        assert.deepEqual(await at(20, 0), []);
        exchange.stop();
    });

    it("who comes into the room after the focus named them gets a step made for it, and no older key", async (t) => {
        const room = new Set(["@bob:test"]);
        const { exchange, at } = await aliceAt(t, room);
        exchange.memberJoined(member(3, "@carol:test"), true);
        assert.deepEqual(await at(6, 0), []);
        room.add("@carol:test");
        exchange.roomChanged("@carol:test");
        await exchange.requestArrived(REQUEST, { userId: "@carol:test", deviceId: "D" });
        assert.deepEqual(await at(7, 3), ["all(bc) 0.1", "c 0.1", "used 0.1"]);
        exchange.stop();
    });
});

describe("own keys", () => {
    it("step 255 is followed by a new key, because the wire could not tell 256 from 0", async () => {
        let now = 0;
        let used: MediaKey[] = [];
        const keys = new OwnKeys([0], { send: async () => undefined, use: (each) => (used = each), now: () => now });
        keys.start();
        for (let joins = 0; joins <= 256; joins++) {
            while (used[0] === undefined || used[0].epoch * 256 + used[0].ratchet < joins) await new Promise((resolve) => setImmediate(resolve));
            assert.deepEqual([used[0].epoch, used[0].ratchet], [joins >> 8, joins & 255]);
            now += 5;
            if (joins < 256) keys.memberJoined();
        }
        keys.stop();
    });

    it("no number is of two keys though sending fails: whoever got them all the same keeps the first", async () => {
        let now = 0;
        const sent: MediaKey[] = [];
        let taken: (() => void) | null = null;
        let refused: (() => void) | null = null;
        const keys = new OwnKeys([0], {
            send: ([key]) => new Promise((resolve, reject) => (sent.push(key!), (taken = resolve), (refused = () => reject(new Error("lost"))))),
            use: () => undefined,
            now: () => now,
        });
        const under = async (count: number) => {
            while (sent.length < count) await new Promise((resolve) => setImmediate(resolve));
        };
        /** The schedule waits by the clock, which stands still here: a join or leave makes it look. */
        const fails = async (leaves: () => void = () => undefined) => {
            leaves();
            refused!();
            await new Promise((resolve) => setImmediate(resolve));
            now += 10;
            keys.memberJoined();
        };
        keys.start();
        await under(1);
        await fails();
        await under(2); // the same once more
        await fails(() => keys.memberLeft()); // who may have them
        await under(3);
        taken!();
        await new Promise((resolve) => setImmediate(resolve));
        now += 10;
        keys.memberLeft();
        await under(4);
        await fails();
        await under(5);
        assert.deepEqual(sent.map(({ epoch, ratchet }) => [epoch, ratchet]), [[0, 0], [0, 0], [1, 0], [2, 0], [2, 0]]);
        const texts = new Set(sent.map(({ key }) => key.join()));
        assert.equal(texts.size, 3);
        assert.deepEqual(sent[1]!.key, sent[0]!.key);
        assert.deepEqual(sent[4]!.key, sent[3]!.key);
        keys.stop();
    });
});
