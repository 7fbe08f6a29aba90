import assert from "node:assert/strict";
import { describe, it } from "node:test";
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
});
