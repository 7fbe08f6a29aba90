import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toHex } from "../src/bytes.ts";
import { epochProofText, proofText, prove, proveEpoch, ticketKey, ticketSeed } from "../src/ticket.ts";

// Expected values from an independent implementation (HKDF and Ed25519 of Python's cryptography package).
const SECRET = Uint8Array.from({ length: 32 }, (_, i) => i);
const ticket = { conferenceId: "!room:x", creator: "@alice:x", epoch: 7, secret: SECRET };

describe("tickets", () => {
    it("secret, conference and epoch give the signing key", async () => {
        const seed = toHex(await ticketSeed(ticket));
        assert.ok(seed.startsWith("60e414c6") && seed.endsWith("7b32"), seed);
        assert.equal((await ticketKey(ticket)).verifier, "I+unLCPqysw10RUVorgf10l9kGGzrLYY2uFZ8We7ypY");
    });

    it("a proof is a signature over these eight lines", async () => {
        const claims = { conferenceId: "C", creator: "@alice:x", epoch: 7, userId: "@bob:x", deviceId: "D", callId: "K", ts: 5 };
        assert.equal(proofText(claims), "org.matrix.msc2359.ticket-proof\nC\n@alice:x\n7\n@bob:x\nD\nK\n5");
        const key = await ticketKey(ticket);
        const proof = Uint8Array.from(atob(await prove(key, claims)), (c) => c.charCodeAt(0));
        const verifier = Uint8Array.from(atob(key.verifier), (c) => c.charCodeAt(0));
        const verify = await crypto.subtle.importKey("raw", verifier, "Ed25519", false, ["verify"]);
        assert.ok(await crypto.subtle.verify("Ed25519", verify, proof, new TextEncoder().encode(proofText(claims))));
    });

    it("an epoch is proved by a signature over seven lines, of another kind", async () => {
        const claims = { conferenceId: "C", creator: "@alice:x", epoch: 7, userId: "@bob:x", deviceId: "D", callId: "K" };
        assert.equal(epochProofText(claims), "org.matrix.msc2359.epoch-proof\nC\n@alice:x\n7\n@bob:x\nD\nK");
        const key = await ticketKey(ticket);
        const proof = Uint8Array.from(atob(await proveEpoch(key, claims)), (c) => c.charCodeAt(0));
        const verifier = Uint8Array.from(atob(key.verifier), (c) => c.charCodeAt(0));
        const verify = await crypto.subtle.importKey("raw", verifier, "Ed25519", false, ["verify"]);
        assert.ok(await crypto.subtle.verify("Ed25519", verify, proof, new TextEncoder().encode(epochProofText(claims))));
    });
});
