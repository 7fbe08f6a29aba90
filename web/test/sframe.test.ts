import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { concat, fromHex, toHex, utf8, type Bytes } from "../src/bytes.ts";
import { joinKid } from "../src/keys/kid.ts";
import { ratchet } from "../src/keys/ratchet.ts";
import { decodeHeaderUntrusted, deriveContext, encodeHeader, open, seal } from "../src/sframe/codec.ts";
import { KeyRing } from "../src/sframe/keyring.ts";
import { ReplayWindow } from "../src/sframe/replay.ts";
import { SourceSealer } from "../src/sframe/sealer.ts";

const VECTORS = new URL("../../../shared/vectors/sframe-rfc9605/test-vectors.json", import.meta.url);
const vectors = existsSync(VECTORS) ? JSON.parse(readFileSync(VECTORS, "utf8")) : null;

describe("RFC 9605 vectors", { skip: vectors === null }, () => {
    it("headers, as far as numbers are exact", () => {
        let checked = 0;
        for (const { kid, ctr, encoded } of vectors.header) {
            if (kid > Number.MAX_SAFE_INTEGER || ctr > Number.MAX_SAFE_INTEGER) {
                assert.equal(decodeHeaderUntrusted(fromHex(encoded)), null);
                continue;
            }
            assert.equal(toHex(encodeHeader(kid, ctr)), encoded);
            assert.deepEqual(decodeHeaderUntrusted(fromHex(encoded)), { kid, ctr, length: encoded.length / 2 });
            checked++;
        }
        assert.ok(checked > 10);
    });

    it("frames of suite 4, both ways", async () => {
        const own = vectors.sframe.filter((vector: { cipher_suite: number }) => vector.cipher_suite === 4);
        assert.ok(own.length > 0);
        for (const v of own) {
            const metadata = fromHex(v.metadata ?? "");
            const sealing = await deriveContext(fromHex(v.base_key), v.kid, "encrypt");
            assert.equal(toHex(sealing.salt), v.sframe_salt);
            assert.equal(toHex(await seal(sealing, v.kid, v.ctr, metadata, fromHex(v.pt))), v.ct);
            const opening = await deriveContext(fromHex(v.base_key), v.kid, "decrypt");
            const header = decodeHeaderUntrusted(fromHex(v.ct))!;
            assert.equal(toHex((await open(opening, header, metadata, fromHex(v.ct)))!), v.pt);
        }
    });
});

const KEY = fromHex("000102030405060708090a0b0c0d0e0f");
const CAMERA = { member: 3, source: 1, epoch: 0, ratchet: 0 };
const keyFrame = (text: string): Bytes => concat(Uint8Array.of(0x10), utf8(`123456789${text}`));

async function sealer(kid = CAMERA, key = KEY): Promise<SourceSealer> {
    const one = new SourceSealer();
    await one.use(kid, key);
    return one;
}

describe("sealing", () => {
    it("drops frames until there is a key", async () => {
        const one = new SourceSealer();
        assert.equal(await one.seal("key", keyFrame("picture")), null);
        assert.equal(one.dropped, 1);
        assert.ok(await one.use(CAMERA, KEY));
        assert.notEqual(await one.seal("key", keyFrame("picture")), null);
    });

    it("leaves 10 bytes of a key frame clear, 3 of a delta frame, 1 of audio", async () => {
        const one = await sealer();
        for (const [kind, clear] of [["key", 10], ["delta", 3], ["audio", 1]] as const) {
            const frame = keyFrame("abcdef");
            const sealed = (await one.seal(kind, frame))!;
            assert.equal(toHex(sealed.subarray(0, clear)), toHex(frame.subarray(0, clear)));
            const header = decodeHeaderUntrusted(sealed.subarray(clear))!;
            assert.equal(header.kid, joinKid(CAMERA));
            assert.equal(sealed.length, frame.length + header.length + 16);
        }
    });

    it("an empty frame is not sent and takes no counter", async () => {
        const one = await sealer();
        assert.equal(await one.seal("audio", new Uint8Array(0)), null);
        assert.deepEqual([one.sealed, one.dropped], [0, 1]);
        assert.equal(decodeHeaderUntrusted((await one.seal("audio", new Uint8Array(1)))!.subarray(1))!.ctr, 0);
    });

    it("never counts anew: not for the same key, not for an older one, not after a step", async () => {
        const one = await sealer();
        const counter = async () => decodeHeaderUntrusted((await one.seal("key", keyFrame("")))!.subarray(10))!.ctr;
        assert.equal(await counter(), 0);
        assert.equal(await one.use(CAMERA, KEY), false);
        assert.equal(await counter(), 1);
        assert.equal(await one.use({ ...CAMERA, ratchet: 1 }, await ratchet(KEY)), true);
        assert.equal(await counter(), 2);
        assert.equal(await one.use(CAMERA, KEY), false);
        assert.equal(await one.use({ ...CAMERA, epoch: 1 }, KEY), true);
        assert.equal(await one.use({ ...CAMERA, ratchet: 7 }, KEY), false);
        assert.equal(await counter(), 3);
    });
});

describe("opening", () => {
    it("gives back what was sealed, with who sealed it", async () => {
        const ring = new KeyRing();
        ring.add(3, 1, 0, 0, KEY);
        const opened = await ring.open("video", (await (await sealer()).seal("key", keyFrame("picture")))!, 3);
        assert.equal(opened.result, "decrypted");
        if (opened.result !== "decrypted") return;
        assert.equal(toHex(opened.data), toHex(keyFrame("picture")));
        assert.deepEqual(opened.kid, CAMERA);
    });

    it("tells a missing key, a wrong key, a replay and a frame in clear apart", async () => {
        const sealed = (await (await sealer()).seal("key", keyFrame("picture")))!;
        const ring = new KeyRing();
        assert.equal((await ring.open("video", sealed, 3)).result, "missing_key");
        const wrong = new KeyRing();
        wrong.add(3, 1, 0, 0, fromHex("ff".repeat(16)));
        assert.equal((await wrong.open("video", sealed, 3)).result, "wrong_key");
        wrong.add(3, 1, 0, 0, KEY); // the first key of a step stays
        assert.equal((await wrong.open("video", sealed, 3)).result, "wrong_key");
        ring.add(3, 1, 0, 0, KEY);
        assert.equal((await ring.open("video", sealed, 3)).result, "decrypted");
        assert.equal((await ring.open("video", sealed, 3)).result, "replayed");
        assert.equal((await ring.open("video", keyFrame("a plain picture, long enough"), 3)).result, "not_encrypted");
        assert.equal((await ring.open("video", new Uint8Array(0), undefined)).result, "not_encrypted");
        assert.equal((await ring.open("audio", sealed, 3)).result, "not_encrypted");
        assert.equal((await ring.open("video", sealed, 4)).result, "not_encrypted");
    });

    it("a focus with intent gets nothing shown under another name, twice or in parts", async () => {
        const ring = new KeyRing();
        const bobs = fromHex("0f".repeat(16));
        ring.add(3, 1, 0, 0, KEY);
        ring.add(3, 2, 0, 0, fromHex("33".repeat(16)));
        ring.add(9, 1, 0, 0, bobs);
        const alice = await sealer();
        const one = (await alice.seal("key", keyFrame("a long enough picture")))!;
        const two = (await alice.seal("key", keyFrame("another, just as long")))!;
        const relabelled = (member: number, source: number) => {
            const header = decodeHeaderUntrusted(one.subarray(10))!;
            return concat(one.slice(0, 10), encodeHeader(joinKid({ member, source, epoch: 0, ratchet: 0 }), header.ctr), one.slice(10 + header.length));
        };
        assert.equal((await ring.open("video", relabelled(9, 1), undefined)).result, "wrong_key");
        assert.equal((await ring.open("video", relabelled(3, 2), undefined)).result, "wrong_key");
        assert.equal((await ring.open("video", concat(one.slice(0, 30), two.slice(30)), undefined)).result, "wrong_key");
        // On another's slot it is still its owner's, and where the packets name somebody else it is nobody's.
        assert.equal((await ring.open("video", one, 9)).result, "not_encrypted");
        const opened = await ring.open("video", one, undefined);
        assert.equal(opened.result === "decrypted" && opened.kid.member, 3);
        // Held back, then sent again and again.
        assert.equal((await ring.open("video", two, undefined)).result, "decrypted");
        for (const old of [one, two, one]) assert.equal((await ring.open("video", old, undefined)).result, "replayed");
        const swapped = await ring.open("video", (await (await sealer({ ...CAMERA, member: 9 }, bobs)).seal("key", keyFrame("of bob")))!, undefined);
        assert.equal(swapped.result === "decrypted" && swapped.kid.member, 9);
    });

    it("opens each frame once on each connection, and on a later one nothing that was opened before it began", async () => {
        const ring = new KeyRing();
        ring.add(3, 1, 0, 0, KEY);
        const one = await sealer();
        const [first, second] = [(await one.seal("key", keyFrame("1")))!, (await one.seal("key", keyFrame("2")))!];
        ring.beginLane(0);
        const opens = async (frame: typeof first, lane: number) => (await ring.open("video", frame, 3, lane)).result;
        assert.equal(await opens(first, 0), "decrypted");
        ring.beginLane(1);
        assert.equal(await opens(first, 1), "replayed", "recorded from the first connection");
        assert.deepEqual([await opens(second, 0), await opens(second, 1)], ["decrypted", "decrypted"], "it comes over both");
        assert.deepEqual([await opens(second, 0), await opens(second, 1)], ["replayed", "replayed"]);
        ring.endLane(0);
        ring.beginLane(2);
        assert.equal(await opens(second, 2), "replayed");
    });

    it("a changed clear byte is noticed", async () => {
        const sealed = (await (await sealer()).seal("key", keyFrame("picture")))!;
        sealed[4]! ^= 1;
        const ring = new KeyRing();
        ring.add(3, 1, 0, 0, KEY);
        assert.equal((await ring.open("video", sealed, 3)).result, "wrong_key");
    });

    it("follows ratchet steps forward, not backward, and not too far", async () => {
        const step = async (n: number) => {
            let key = KEY;
            for (let i = 0; i < n; i++) key = await ratchet(key);
            return (await (await sealer({ ...CAMERA, ratchet: n }, key)).seal("key", keyFrame(`step ${n}`)))!;
        };
        const ring = new KeyRing();
        ring.add(3, 1, 0, 1, await ratchet(KEY));
        assert.equal((await ring.open("video", await step(0), 3)).result, "missing_key");
        assert.equal((await ring.open("video", await step(1), 3)).result, "decrypted");
        assert.equal((await ring.open("video", await step(5), 3)).result, "decrypted");
        assert.equal((await ring.open("video", await step(30), 3)).result, "missing_key");
    });

    it("keeps the last two epochs", async () => {
        const ring = new KeyRing();
        for (const epoch of [0, 1, 2]) ring.add(3, 1, epoch, 0, KEY);
        for (const [epoch, result] of [[0, "missing_key"], [1, "decrypted"], [2, "decrypted"]] as const) {
            const sealed = (await (await sealer({ ...CAMERA, epoch })).seal("key", keyFrame("")))!;
            assert.equal((await ring.open("video", sealed, 3)).result, result);
        }
        ring.removeMember(3);
        assert.equal(ring.size, 0);
    });

    it("bears any bytes", async () => {
        const ring = new KeyRing();
        ring.add(3, 1, 0, 0, KEY);
        for (let length = 0; length < 120; length++) {
            for (let i = 0; i < 20; i++) {
                const frame = crypto.getRandomValues(new Uint8Array(length));
                assert.notEqual((await ring.open(i % 2 ? "audio" : "video", frame, undefined)).result, "decrypted");
            }
        }
    });
});

describe("replay window", () => {
    it("takes each counter once, late ones too, but not those older than the window", () => {
        const window = new ReplayWindow();
        const take = (ctr: number) => window.allows(ctr) && (window.record(ctr), true);
        assert.deepEqual([0, 0, 2, 1, 1, 1500, 1499, 477, 476, 476, 1500].map(take), [true, false, true, true, false, true, true, true, false, false, false]);
        assert.ok(take(1_000_000));
        assert.ok(!take(1500));
        assert.ok(take(999_999));
    });
});
