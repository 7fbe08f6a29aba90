import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import type { Peer } from "../src/call/peer.ts";
import { Dialogue, type Handlers } from "../src/conference/dialogue.ts";
import { Negotiation } from "../src/conference/negotiation.ts";
import { Received } from "../src/conference/received.ts";
import type { MediaWorker } from "../src/sframe/mediaworker.ts";
import type { ToWorker } from "../src/sframe/port.ts";
import type { Report, Verdict } from "../src/sframe/verdict.ts";

const P = "org.matrix.msc2359";
const COUNTS = { decrypted: 1, missing_key: 0, wrong_key: 0, replayed: 0, not_encrypted: 0, misplaced: 0 };
const report = (verdict: Verdict, member: number | null, more: Partial<Report> = {}): Report => ({ verdict, member, source: 0, epoch: 0, missingSince: null, begun: verdict === "decrypting", counts: COUNTS, ...more });
const bob = { member: 2, userId: "@b:x", deviceId: "D", audioMuted: false, videoMuted: false, sources: ["audio" as const, "camera" as const] };

describe("what is received", () => {
    const begin = () => {
        // One pair and two slots for the loudest, of which mids 3 and 4 are.
        const slot = (name: string, mid: string, kind: "audio" | "video", loudest = false) => ({ name, kind, loudest, transceiver: { mid, receiver: { track: { id: name } } } });
        const slots = [slot("audio0", "1", "audio"), slot("video0", "2", "video"), slot("audio1", "3", "audio", true), slot("audio2", "4", "audio", true)];
        const posted: ToWorker[] = [];
        const peer = { slots, loudest: ["audio1", "audio2"] } as unknown as Peer;
        const received = new Received(peer, { post: (message: ToWorker) => void posted.push(message) } as unknown as MediaWorker);
        return { received, posted };
    };

    it("on a pair is of one member only; on a slot for the loudest of whoever's key opens it", () => {
        const { received, posted } = begin();
        received.slotsChanged(1, [{ mid: "1", member: 1, source: "audio" }, { mid: "2", member: 1, source: "camera" }, { mid: "3", member: 2, source: "audio" }, { mid: "4", member: null, source: null }]);
        assert.deepEqual(posted, [
            { type: "expect", receiver: "audio0", member: 1, source: 0 },
            { type: "expect", receiver: "video0", member: 1, source: 1 },
            { type: "expect", receiver: "audio1", member: null, source: 0, anyone: true },
            { type: "expect", receiver: "audio2", member: null, source: 0, anyone: true },
        ]);
        received.reported("audio1", report("decrypting", 7));
        assert.equal(received.tile(bob).audio.verdict, "none", "that was somebody else's");
        received.reported("audio1", report("decrypting", 2));
        assert.equal(received.tile(bob).audio.verdict, "decrypting");
        assert.deepEqual(received.voices().map(({ receiver }) => receiver), ["audio0", "audio1", "audio2"]);
    });

    it("without a key asks the one whose key it is", () => {
        const { received } = begin();
        const asked: unknown[] = [];
        received.onmissing = (...all) => asked.push(all);
        received.slotsChanged(1, [{ mid: "2", member: 1, source: "camera" }, { mid: "3", member: 2, source: "audio" }]);
        received.reported("video0", report("missing_key", 1, { missingSince: 5, epoch: 3 }));
        received.reported("audio1", report("missing_key", 7, { missingSince: 6 }));
        assert.deepEqual(asked, [[1, "camera", 3, 5], [7, "audio", 0, 6]]);
    });

    it("knows its layer until the slot carries somebody else, and whether anything was opened", () => {
        const { received } = begin();
        const carry = (revision: number, member: number) => received.slotsChanged(revision, [{ mid: "2", member, source: "camera" }]);
        carry(1, 2);
        received.layersChanged(new Map([["2", { encoding: null, temporal: 0 }], ["99", { encoding: "f", temporal: 2 }]]));
        received.reported("video0", report("decrypting", 2));
        const { layer, opened } = received.tile(bob).camera;
        assert.deepEqual([layer, opened], [{ encoding: null, temporal: 0 }, true]);
        carry(2, 1);
        carry(3, 2);
        const again = received.tile(bob).camera;
        assert.deepEqual([again.layer, again.opened, again.receiver], [null, false, "video0"]);
    });
});

describe("the data channel", () => {
    const begin = () => {
        const said: object[] = [];
        const heard: unknown[] = [];
        const peer = { send: (text: string) => (said.push(JSON.parse(text) as object), true), channel: { readyState: "open" }, onmessage: (_data: unknown) => undefined };
        const handlers = new Proxy({}, { get: (_target, name) => (content: unknown) => void (name !== "handled" && heard.push([name, content])) }) as Handlers;
        return { dialogue: new Dialogue(peer as unknown as Peer, handlers), peer, said, heard };
    };

    it("answers pings, hands messages on, and lets nothing malformed through", () => {
        const { peer, said, heard } = begin();
        for (const message of ["{", JSON.stringify({ type: "m.new" }), JSON.stringify({ type: `${P}.error`, content: { code: "busy", message: "" } })]) peer.onmessage(message);
        assert.deepEqual(heard, []);
        peer.onmessage(JSON.stringify({ type: `${P}.speakers`, content: { speaking: [2], dominant: 2 } }));
        assert.deepEqual(heard, [["speakers", { speaking: [2], dominant: 2 }]]);
        peer.onmessage(JSON.stringify({ type: "m.call.ping" }));
        assert.deepEqual(said, [{ type: "m.call.pong", content: {} }]);
    });

    it("notices silence after two pings and a half, and its end", () => {
        mock.timers.enable({ apis: ["setTimeout"] });
        try {
            const { dialogue, peer, heard } = begin();
            dialogue.expectPings(1000);
            mock.timers.tick(2400);
            assert.deepEqual(heard.at(-1), ["silent", false]);
            mock.timers.tick(200);
            assert.deepEqual(heard.at(-1), ["silent", true]);
            peer.onmessage(JSON.stringify({ type: "m.call.ping" }));
            assert.deepEqual(heard.at(-1), ["silent", false]);
            dialogue.close();
            mock.timers.tick(60000);
            assert.deepEqual(heard.at(-1), ["silent", false]);
        } finally {
            mock.timers.reset();
        }
    });
});

describe("more slots", () => {
    it("are asked for as far as they are needed; what was refused once is not asked for again", async () => {
        const grown: number[][] = [];
        const peer = {
            slotPairs: 4,
            loudest: [] as string[],
            grow: async (pairs: number, loudest: number) => {
                grown.push([pairs, loudest]);
                if (peer.slotPairs + pairs > 12) throw new Error("full");
                peer.slotPairs += pairs;
            },
        };
        const negotiation = new Negotiation(peer as unknown as Peer, () => true, () => ({}), 16);
        for (const pictures of [3, 9, 9, 13, 13, 14, 20]) await negotiation.growFor(() => pictures);
        assert.deepEqual(grown, [[8, 0], [4, 0]]);
        await negotiation.growFor(() => 12);
        assert.equal(grown.length, 2);
    });

    it("an answer that never came is no refusal, and nobody waits for one over a connection that is gone", async () => {
        mock.timers.enable({ apis: ["setTimeout"] });
        try {
            let open = true;
            const offers: string[] = [];
            const peer = {
                slotPairs: 4,
                loudest: [] as string[],
                grow: async (_pairs: number, _loudest: number, exchange: (sdp: string) => Promise<string>) => {
                    await exchange(`offer ${offers.length}`);
                    peer.slotPairs = 12;
                },
            };
            const say = (message: object) => (open && offers.push(JSON.stringify(message)), open);
            const negotiation = new Negotiation(peer as unknown as Peer, say, () => ({}), 16);
            const settled = async () => {
                for (let i = 0; i < 20; i++) await Promise.resolve();
            };
            const grown = negotiation.growFor(() => 9);
            mock.timers.tick(59000); // a machine that is busy with a minute of other things
            await settled();
            assert.equal(offers.length, 1);
            mock.timers.tick(1000);
            await settled();
            assert.equal(offers.length, 2, "asked again");
            negotiation.arrived({ answer: "answer" });
            await grown;
            assert.equal(peer.slotPairs, 12);
            peer.slotPairs = 4;
            const left = negotiation.growFor(() => 9);
            negotiation.close();
            await left;
            open = false;
            await new Negotiation(peer as unknown as Peer, say, () => ({}), 16).growFor(() => 9);
            assert.equal(offers.length, 3);
        } finally {
            mock.timers.reset();
        }
    });
});
