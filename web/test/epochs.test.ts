// Ticket epochs of a membership: what is proved, what is asked for, and when a new one is made.

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it, mock } from "node:test";
import { Epochs } from "../src/conference/epochs.ts";
import type { Incoming } from "../src/matrix/inbox.ts";
import { watchLeavers } from "../src/matrix/rooms.ts";
import { ticketContent, type Ticket } from "../src/protocol/events.ts";
import { proveEpoch, ticketKey } from "../src/ticket.ts";

const P = "org.matrix.msc2359";
const ID = "abcdefghijklmnopqrstuv";
const CREATOR = "@alice:x";

function ticket(epoch: number, byte = epoch): Ticket {
    return { conferenceId: ID, creator: CREATOR, epoch, secret: new Uint8Array(32).fill(byte) };
}

function membership(rank = 0) {
    const events: [string, Record<string, unknown>][] = [];
    const said: { type: string; content: Record<string, unknown> }[] = [];
    const client = {
        getSafeUserId: () => "@bob:x",
        getUserId: () => "@bob:x",
        getDeviceId: () => "BOB",
        sendEvent: async (_room: string, type: string, content: Record<string, unknown>) => void events.push([type, content]),
    };
    const room = { roomId: "!r", getMember: (user: string) => ({ membership: user === "@gone:x" ? "leave" : "join" }), getLiveTimeline: () => ({ getState: () => ({ getStateEvents: () => ({}) }) }) };
    const pass = { conference: { conferenceId: ID, creator: CREATOR, focus: "@f:x", url: null, intent: "video" as const, members: null, createdTs: 1 }, ticket: ticket(0) };
    const ports = { rank: () => rank, callId: () => "call", send: (message: object) => (said.push(message as (typeof said)[number]), true) };
    const epochs = new Epochs(client as never, room as never, pass, ports);
    const take = (one: Ticket, sender = CREATOR, senderKey: string | null = "key") =>
        epochs.take({ id: "$", type: `${P}.ticket`, content: ticketContent(one), sender, senderKey, ts: 1, age: 1 } satisfies Incoming);
    return { epochs, events, said, take };
}

/** Until what was begun is done: each round takes as much of WebCrypto's threads as a proof, however busy the machine is. */
const settle = async () => {
    for (let i = 0; i < 12; i++) {
        const key = await ticketKey(ticket(99));
        await proveEpoch(key, { conferenceId: ID, creator: CREATOR, epoch: 99, userId: "@bob:x", deviceId: "BOB", callId: "call" });
        await new Promise((resolve) => setImmediate(resolve));
    }
};

describe("epochs", () => {
    it("a newer ticket of the room is proved, and given to others once it is current", async () => {
        const { epochs, said, take } = membership();
        take(ticket(1));
        await settle();
        const { verifier } = await ticketKey(ticket(1));
        assert.equal(said.length, 1);
        assert.deepEqual([said[0]!.type, said[0]!.content.epoch, said[0]!.content.verifier], [`${P}.prove`, 1, verifier]);
        assert.equal(epochs.ticket.epoch, 0);
        epochs.told({ epoch: 1, verifier, proved: true, proposed: [] });
        assert.equal(epochs.ticket.epoch, 1);
        take(ticket(1));
        await settle();
        assert.equal(said.length, 1, "sent again for somebody who asked");
    });

    it("of two tickets with one number the one goes on that the focus names", async () => {
        const { epochs, said, take } = membership();
        const [right, forged] = [await ticketKey(ticket(1, 10)), await ticketKey(ticket(1, 20))];
        take(ticket(1, 10));
        take(ticket(1, 20), "@mallory:x");
        await settle();
        assert.deepEqual(new Set(said.map(({ content }) => content.verifier)), new Set([right.verifier, forged.verifier]), "both are proved");
        epochs.told({ epoch: 1, verifier: right.verifier, proved: true, proposed: [] });
        assert.deepEqual(epochs.ticket, ticket(1, 10));
        epochs.told({ epoch: 1, verifier: forged.verifier, proved: true, proposed: [] });
        assert.deepEqual(epochs.ticket, ticket(1, 20));
    });

    it("what the focus names before we could read it counts when it comes; many false ones do not put it out", async () => {
        const { epochs, said, take } = membership();
        const { verifier } = await ticketKey(ticket(1));
        epochs.welcomed({ epoch: 1, verifier });
        assert.equal(epochs.ticket.epoch, 0);
        take(ticket(1));
        await settle();
        assert.equal(epochs.ticket.epoch, 1);
        for (let i = 0; i < 20; i++) take(ticket(2, 100 + i), "@mallory:x");
        await settle();
        const before = said.length;
        epochs.told({ epoch: 1, verifier, proved: false, proposed: [] });
        await settle();
        assert.deepEqual(said.slice(before).map(({ content }) => content.verifier), [verifier], "known, so it is proved and not asked for");
    });

    it("tickets in clear, of people who left the room, and of earlier epochs are not", async () => {
        const { epochs, said, take } = membership();
        take(ticket(1), CREATOR, null);
        take(ticket(1), "@gone:x");
        epochs.told({ epoch: 2, verifier: "other", proved: true, proposed: [] });
        take(ticket(1));
        await settle();
        assert.deepEqual(said, []);
    });

    it("a ticket of a number far ahead uses up no numbers: who is removed later could never be put out", async () => {
        mock.timers.enable({ apis: ["setTimeout"] });
        try {
            const { epochs, said, events, take } = membership();
            take(ticket(Number.MAX_SAFE_INTEGER, 7), "@mallory:x");
            epochs.memberLeft();
            mock.timers.tick(1);
            await settle();
            assert.deepEqual(events.map(([, content]) => content.epoch), [1]);
            assert.deepEqual(said.map(({ content }) => content.epoch), [1]);
        } finally {
            mock.timers.reset();
        }
    });

    it("somebody who is put out of the room is news, whoever only declines to come is none", () => {
        const client = Object.assign(new EventEmitter(), { getSafeUserId: () => "@bob:x" });
        let left = 0;
        const stop = watchLeavers(client as never, "!r", () => left++);
        const changes = [["!r", "@mallory:x", "leave", "join"], ["!r", "@mallory:x", "ban", "join"], ["!r", "@eve:x", "leave", "invite"], ["!other", "@eve:x", "leave", "join"], ["!r", "@bob:x", "leave", "join"], ["!r", "@eve:x", "join", "leave"]];
        for (const [roomId, userId, membership, before] of changes) client.emit("RoomMember.membership", {}, { roomId, userId, membership }, before);
        stop();
        client.emit("RoomMember.membership", {}, { roomId: "!r", userId: "@mallory:x", membership: "leave" }, "join");
        assert.equal(left, 2);
    });

    it("a ticket that this device never got is asked for", async () => {
        const { epochs, events } = membership();
        epochs.told({ epoch: 1, verifier: "other", proved: false, proposed: [] });
        await settle();
        assert.deepEqual(events, [[`${P}.ticket_request`, { conference_id: ID, device_id: "BOB" }]]);
    });

    it("after a leave the first makes a new one, and the next only when nobody did", async () => {
        mock.timers.enable({ apis: ["setTimeout"] });
        try {
            const [first, second, third] = [membership(0), membership(1), membership(2)];
            for (const { epochs } of [first, second, third]) epochs.memberLeft();
            mock.timers.tick(1);
            await settle();
            assert.equal(first.events.length, 1);
            assert.deepEqual([first.events[0]![0], first.events[0]![1].epoch], [`${P}.ticket`, 1]);
            assert.deepEqual(first.said.map(({ content }) => content.epoch), [1]);
            second.take(ticket(1));
            mock.timers.tick(3000);
            await settle();
            assert.equal(second.events.length, 0);
            mock.timers.tick(3000);
            await settle();
            assert.equal(third.events.length, 1);
        } finally {
            mock.timers.reset();
        }
    });
});
