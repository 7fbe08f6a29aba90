import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Malformed } from "../src/protocol/check.ts";
import { explain } from "../src/protocol/errors.ts";
import { parseConference, parseKeyRequest, parseMediaKeys, parseRefusal, parseTicket, mediaKeysContent, ticketContent } from "../src/protocol/events.ts";
import { parseUntrusted } from "../src/protocol/messages.ts";
import { parseConfig, readFlags } from "../src/config.ts";

const P = "org.matrix.msc2359";
const parse = (type: string, content: unknown) => parseUntrusted(JSON.stringify({ type, content }));
const ID = "abcdefghijklmnopqrstuv";

describe("data channel messages", () => {
    it("are read as the contract writes them", () => {
        const resume = { token: "1.3.xyz", url: "/resume" };
        assert.deepEqual(parse(`${P}.welcome`, { version: 1, member: 3, conference_id: ID, ping_interval_ms: 2000, epoch: 0, verifier: "v", resume }), {
            type: "welcome", content: { version: 1, member: 3, conferenceId: ID, pingIntervalMs: 2000, epoch: 0, verifier: "v", resume },
        });
        assert.deepEqual(parse(`${P}.members`, { reset: true, present: [{ member: 3, user_id: "@a:x", device_id: "D", audio_muted: true, video_muted: false, sources: ["audio", "hologram"] }], gone: [2] }), {
            type: "members", content: { reset: true, present: [{ member: 3, userId: "@a:x", deviceId: "D", audioMuted: true, videoMuted: false, sources: ["audio"] }], gone: [2], more: false },
        });
        assert.deepEqual(parse(`${P}.slots`, { revision: 4, slots: [{ mid: "3", member: 5, source: "camera" }, { mid: "4", member: null, source: null }] }), {
            type: "slots", content: { revision: 4, slots: [{ mid: "3", member: 5, source: "camera" }, { mid: "4", member: null, source: null }] },
        });
        assert.deepEqual(parse(`${P}.epoch`, { epoch: 3, verifier: "w", proved: true, grace_ms: null, proposed: [{ epoch: 4, verifier: "v", proved: 1, of: 3, yours: true }] }), {
            type: "epoch", content: { epoch: 3, verifier: "w", proved: true, proposed: [{ epoch: 4, verifier: "v", yours: true }] },
        });
        const send = parse(`${P}.send`, { sources: { camera: { encodings: { t: { active: true }, f: { active: true, max_bitrate: 1700000 } } } } });
        assert.ok(send.type === "send" && send.content.get("camera")?.get("f")?.maxBitrate === 1700000 && !send.content.get("camera")?.has("m"));
        assert.deepEqual(parse("m.call.negotiate", { error: { code: "full", message: "no" } }), { type: "negotiate", content: { error: { code: "full", message: "no" } } });
        assert.deepEqual(parse("m.call.hangup", { reason: "user_hangup", [`${P}.error`]: { code: "replaced", message: "m" } }), {
            type: "hangup", content: { reason: "user_hangup", code: "replaced", message: "m" },
        });
        assert.deepEqual(parse("m.new", {}), { type: "unknown", name: "m.new" });
    });

    it("about rates are read as the contract writes them, and what is odd in them is as if left out", () => {
        const wanted = { active: true, max_bitrate: 900000, scale_resolution_down_by: 1.5, max_framerate: 15 };
        const odd = { active: true, max_bitrate: -5, scale_resolution_down_by: 0.5, max_framerate: 1000 };
        const send = parse(`${P}.send`, { sources: { camera: { encodings: { m: odd, f: wanted } }, hologram: 5 } });
        assert.deepEqual(send.type === "send" && [...send.content.get("camera")!], [
            ["m", { active: true }],
            ["f", { active: true, maxBitrate: 900000, scaleResolutionDownBy: 1.5, maxFramerate: 15 }],
        ]);
        assert.deepEqual(parse(`${P}.speakers`, { speaking: [5, 9], dominant: 5 }), { type: "speakers", content: { speaking: [5, 9], dominant: 5 } });
        assert.deepEqual(parse(`${P}.speakers`, { speaking: [], dominant: null }), { type: "speakers", content: { speaking: [], dominant: null } });
        const layers = parse(`${P}.layers`, { slots: { "3": { encoding: "f", temporal: 2 }, "5": { encoding: null, temporal: 0 } } });
        assert.deepEqual(layers.type === "layers" && [...layers.content], [["3", { encoding: "f", temporal: 2 }], ["5", { encoding: null, temporal: 0 }]]);
        const viewers = parse(`${P}.viewers`, { sources: { camera: { viewers: 7, lost_mean: 0.01, lost_worst: 1.5 } } });
        assert.deepEqual(viewers.type === "viewers" && viewers.content.get("camera"), { viewers: 7, lostMean: 0.01, lostWorst: 1 });
        for (const [type, content] of [["speakers", { speaking: ["5"] }], ["speakers", { dominant: 0 }], ["layers", {}], ["layers", { slots: { "3": 1 } }], ["viewers", { sources: { camera: { viewers: -1 } } }]] as const) {
            assert.throws(() => parse(`${P}.${type}`, content), Malformed, `${type} ${JSON.stringify(content)}`);
        }
    });

    it("fail in one way, whatever they are", () => {
        const bad: unknown[] = [
            null, 5, "", "{", "[]", "null", '{"type":5}', '{"type":""}', new ArrayBuffer(4), "x".repeat(70000),
            ...[[], null, "x", { member: 0 }, { version: 1, member: 65536, conference_id: ID }].map((content) => JSON.stringify({ type: `${P}.welcome`, content })),
            JSON.stringify({ type: `${P}.members`, content: { reset: "yes" } }),
            JSON.stringify({ type: `${P}.members`, content: { more: 1 } }),
            JSON.stringify({ type: `${P}.members`, content: { present: [{}] } }),
            JSON.stringify({ type: `${P}.members`, content: { present: Array(3000).fill(0) } }),
            JSON.stringify({ type: `${P}.slots`, content: { revision: -1, slots: [] } }),
            JSON.stringify({ type: `${P}.slots`, content: { revision: 1, slots: [{ mid: 3 }] } }),
            JSON.stringify({ type: `${P}.send`, content: { sources: { camera: { encodings: { f: { active: 1 } } } } } }),
            JSON.stringify({ type: "m.call.negotiate", content: { description: { type: "offer", sdp: "v=0" } } }),
        ];
        for (const data of bad) assert.throws(() => parseUntrusted(data), Malformed, String(data).slice(0, 80));
    });
});

describe("Matrix events", () => {
    it("an announcement counts for its sender, until it ended", () => {
        const content = { conference_id: ID, focus: { user_id: "@sotto:x" }, intent: "video", created_ts: 5, ended: false };
        assert.deepEqual(parseConference(content, "@alice:x"), { conferenceId: ID, creator: "@alice:x", focus: "@sotto:x", url: null, intent: "video", members: null, createdTs: 5 });
        assert.equal(parseConference({ ...content, creator: "@alice:x" }, "@bob:x")?.creator, "@alice:x");
        assert.equal(parseConference({ ...content, ended: true }, "@alice:x"), null);
        assert.equal(parseConference({}, "@alice:x"), null);
        for (const broken of [null, [], { conference_id: ID }, { ...content, conference_id: "short" }, { ...content, focus: "x" }, { ...content, created_ts: "5" }]) {
            assert.throws(() => parseConference(broken, "@alice:x"), Malformed);
        }
    });

    it("tickets and keys come back as they went out", () => {
        const ticket = { conferenceId: ID, creator: "@alice:x", epoch: 2, secret: new Uint8Array(32).fill(9) };
        assert.deepEqual(parseTicket(ticketContent(ticket)), ticket);
        const keys = { conferenceId: ID, member: 3, deviceId: "D", keys: [{ source: 1, epoch: 4, ratchet: 300, key: new Uint8Array(16).fill(7) }] };
        assert.deepEqual(parseMediaKeys(mediaKeysContent(keys)), keys);
    });

    it("wrong sizes and numbers are refused", () => {
        const key = { source: 0, epoch: 0, ratchet: 0, key: "AAAAAAAAAAAAAAAAAAAAAA" };
        const event = { conference_id: ID, member: 3, device_id: "D", keys: [key] };
        assert.equal(parseMediaKeys(event).keys.length, 1);
        for (const change of [{ source: 4 }, { source: -1 }, { epoch: 1.5 }, { ratchet: "0" }, { key: "AAAA" }, { key: "not base64!" }, { key: 5 }]) {
            assert.throws(() => parseMediaKeys({ ...event, keys: [{ ...key, ...change }] }), Malformed);
        }
        for (const change of [{ member: 0 }, { member: 70000 }, { device_id: "" }, { keys: {} }, { conference_id: "../../x" }]) {
            assert.throws(() => parseMediaKeys({ ...event, ...change }), Malformed);
        }
        assert.throws(() => parseKeyRequest({ conference_id: ID, member: 1, source: 9, epoch: 0 }), Malformed);
        assert.throws(() => parseTicket({ conference_id: ID, creator: "alice", epoch: 0, secret: key.key }), Malformed);
    });

    it("a refusal has a code, of ours or the plain reason", () => {
        assert.deepEqual(parseRefusal({ call_id: "c", [`${P}.error`]: { code: "full", message: "m" } }), { callId: "c", code: "full", message: "m" });
        assert.deepEqual(parseRefusal({ call_id: "c", reason: "ice_failed" }), { callId: "c", code: "ice_failed", message: "" });
    });
});

describe("errors", () => {
    it("every code of the contract has a sentence of its own", () => {
        const codes = [
            "conference_unknown", "ticket_missing", "ticket_invalid", "ticket_expired", "not_allowed", "invite_malformed", "sdp_malformed",
            "sdp_unsupported", "too_large", "stale", "full", "busy", "shutting_down", "ice_failed", "dtls_failed", "internal", "replaced",
        ];
        const causes = new Set(codes.map((code) => explain(code).cause));
        assert.equal(causes.size, codes.length);
        assert.ok(codes.every((code) => !explain(code).cause.includes("(") || code === "conference_unknown" || code === "sdp_unsupported"));
        assert.match(explain("something_new").cause, /something_new/);
        assert.match(explain("constructor").cause, /constructor/);
    });
});

describe("settings", () => {
    it("config.json is read, and a wrong one refused", () => {
        const config = parseConfig({ homeserver: "https://hs.example/", focus: "@sotto:x", key_transport: "to-device", demo: { room_id: "!r", people: { alice: { user_id: "@alice:x", password: "p" } } } }, "https://sfu.example/config.json");
        assert.equal(config.homeserver, "https://hs.example");
        assert.equal(config.keyTransport, "to-device");
        assert.equal(config.demo?.people.get("alice")?.userId, "@alice:x");
        assert.equal(parseConfig({ homeserver: "http://h", focus: "@f:x" }, "").demo, null);
        for (const broken of [null, {}, { homeserver: "javascript:alert(1)", focus: "@f:x" }, { homeserver: "http://h" }]) assert.throws(() => parseConfig(broken, ""));
    });

    it("nokeys, join, pairs and switch count only for demo people", () => {
        assert.deepEqual(readFlags("?demo=alice&join&nokeys&pairs=2&switch=3000"), { demo: "alice", join: true, noKeys: true, maxPairs: 2, switchMs: 3000, room: null, user: "", widget: null });
        assert.deepEqual(readFlags("?join&nokeys&pairs=2&switch=3000&room=!r%3Ax"), { demo: null, join: false, noKeys: false, maxPairs: 16, switchMs: 60000, room: "!r:x", user: "", widget: null });
        assert.equal(readFlags("?demo=alice&pairs=-1").maxPairs, 16);
    });

    it("the address of a widget brings room and name along", () => {
        const { room, user } = readFlags("?room=%21r%3Ax&user=%40alice%3Ax&widgetId=w");
        assert.deepEqual([room, user], ["!r:x", "@alice:x"]);
    });
});
