// Tickets: a secret of the room becomes a signing key whose public half is all the focus ever learns.

import { concat, fromHex, toBase64, utf8, type Bytes } from "./bytes.ts";
import { EPOCH_PROOF_HEADING, PROOF_HEADING, TICKET_SALT } from "./protocol/names.ts";
import type { Ticket } from "./protocol/events.ts";

/** PKCS #8 frame of an Ed25519 private key; the 32-byte seed follows (RFC 8410 section 7). */
const PKCS8_PREFIX = fromHex("302e020100300506032b657004220420");

export interface TicketKey {
    sign: CryptoKey;
    /** The public key, 32 bytes in unpadded base64, as `open.verifier` carries it. */
    verifier: string;
}

/** 32-byte Ed25519 seed of one epoch: HKDF-SHA256 over the secret. */
export async function ticketSeed(ticket: Pick<Ticket, "secret" | "conferenceId" | "epoch">): Promise<Bytes> {
    const secret = await crypto.subtle.importKey("raw", ticket.secret, "HKDF", false, ["deriveBits"]);
    const info = utf8(`${ticket.conferenceId}|epoch ${ticket.epoch}`);
    const salt = utf8(TICKET_SALT);
    return new Uint8Array(await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info }, secret, 256));
}

export async function ticketKey(ticket: Ticket): Promise<TicketKey> {
    const pkcs8 = concat(PKCS8_PREFIX, await ticketSeed(ticket));
    // WebCrypto gives the public half only through a JWK export, so the key is extractable for this one moment.
    const open = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
    const jwk = await crypto.subtle.exportKey("jwk", open);
    const sign = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
    pkcs8.fill(0);
    return { sign, verifier: (jwk.x ?? "").replaceAll("-", "+").replaceAll("_", "/") };
}

export interface ProofClaims {
    conferenceId: string;
    creator: string;
    epoch: number;
    userId: string;
    deviceId: string;
    callId: string;
    ts: number;
}

export function proofText(claims: ProofClaims): string {
    const { conferenceId, creator, epoch, userId, deviceId, callId, ts } = claims;
    return [PROOF_HEADING, conferenceId, creator, epoch, userId, deviceId, callId, ts].join("\n");
}

/** What a member signs over its data channel: it has the secret of an epoch. */
export function epochProofText(claims: Omit<ProofClaims, "ts">): string {
    const { conferenceId, creator, epoch, userId, deviceId, callId } = claims;
    return [EPOCH_PROOF_HEADING, conferenceId, creator, epoch, userId, deviceId, callId].join("\n");
}

export async function proveEpoch(key: TicketKey, claims: Omit<ProofClaims, "ts">): Promise<string> {
    return toBase64(new Uint8Array(await crypto.subtle.sign("Ed25519", key.sign, utf8(epochProofText(claims)))));
}

export async function prove(key: TicketKey, claims: ProofClaims): Promise<string> {
    return toBase64(new Uint8Array(await crypto.subtle.sign("Ed25519", key.sign, utf8(proofText(claims)))));
}
