// RFC 9605 SFrame, suite 4 (AES_128_GCM_SHA256_128), over WebCrypto. KIDs and counters up to 2^53 - 1.

import { concat, utf8, type Bytes } from "../bytes.ts";

export const SUITE = 4;
export const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const KEY_BITS = 128;

export interface FrameContext {
    key: CryptoKey;
    salt: Bytes;
}

export interface Header {
    kid: number;
    ctr: number;
    /** bytes the header occupies, 1 to 17 */
    length: number;
}

/** Key and salt of one (base key, KID), section 4.4.2. */
export async function deriveContext(baseKey: Bytes, kid: number, use: "encrypt" | "decrypt"): Promise<FrameContext> {
    const secret = await crypto.subtle.importKey("raw", baseKey, "HKDF", false, ["deriveBits", "deriveKey"]);
    const tail = concat(bigEndian(kid, 8), bigEndian(SUITE, 2));
    const expand = (label: string) => ({
        name: "HKDF",
        hash: "SHA-256",
        salt: new Uint8Array(0),
        info: concat(utf8(label), tail),
    });
    const [key, salt] = await Promise.all([
        crypto.subtle.deriveKey(expand("SFrame 1.0 Secret key "), secret, { name: "AES-GCM", length: KEY_BITS }, false, [use]),
        crypto.subtle.deriveBits(expand("SFrame 1.0 Secret salt "), secret, 8 * NONCE_BYTES),
    ]);
    return { key, salt: new Uint8Array(salt) };
}

/** Section 4.3: one config byte `X KKK Y CCC`, then KID and counter where they exceed 7, each as short as it goes. */
export function encodeHeader(kid: number, ctr: number): Bytes {
    const kidBytes = kid < 8 ? new Uint8Array(0) : bigEndian(kid, bytesFor(kid));
    const ctrBytes = ctr < 8 ? new Uint8Array(0) : bigEndian(ctr, bytesFor(ctr));
    const high = kid < 8 ? kid : 8 | (kidBytes.length - 1);
    const low = ctr < 8 ? ctr : 8 | (ctrBytes.length - 1);
    return concat(Uint8Array.of((high << 4) | low), kidBytes, ctrBytes);
}

/** null when the bytes are too few for the header they begin, or a number exceeds 2^53 - 1. */
export function decodeHeaderUntrusted(data: Uint8Array): Header | null {
    if (data.length < 1) return null;
    const config = data[0]!;
    const kidLength = config & 0x80 ? ((config >> 4) & 7) + 1 : 0;
    const ctrLength = config & 0x08 ? (config & 7) + 1 : 0;
    const length = 1 + kidLength + ctrLength;
    if (data.length < length) return null;
    const kid = kidLength === 0 ? (config >> 4) & 7 : readBigEndian(data, 1, kidLength);
    const ctr = ctrLength === 0 ? config & 7 : readBigEndian(data, 1 + kidLength, ctrLength);
    if (kid > Number.MAX_SAFE_INTEGER || ctr > Number.MAX_SAFE_INTEGER) return null;
    return { kid, ctr, length };
}

/** Header, ciphertext and tag. `metadata` travels beside it in clear and is authenticated with it. */
export async function seal(context: FrameContext, kid: number, ctr: number, metadata: Bytes, plain: Bytes): Promise<Bytes> {
    const header = encodeHeader(kid, ctr);
    const sealed = await crypto.subtle.encrypt(algorithm(context, ctr, concat(header, metadata)), context.key, plain);
    return concat(header, new Uint8Array(sealed));
}

/** null when the tag does not fit: another key, or somebody changed a byte. */
export async function open(context: FrameContext, header: Header, metadata: Bytes, frame: Bytes): Promise<Bytes | null> {
    const associated = concat(frame.subarray(0, header.length), metadata);
    try {
        const sealed = frame.subarray(header.length);
        return new Uint8Array(await crypto.subtle.decrypt(algorithm(context, header.ctr, associated), context.key, sealed));
    } catch {
        return null;
    }
}

/** The nonce is the salt with the counter xored into its end, section 4.4.3. */
export function nonce(salt: Uint8Array, ctr: number): Bytes {
    const out = new Uint8Array(salt);
    const counter = bigEndian(ctr, 8);
    for (let i = 0; i < 8; i++) out[out.length - 8 + i]! ^= counter[i]!;
    return out;
}

function algorithm(context: FrameContext, ctr: number, additionalData: Bytes): AesGcmParams {
    return { name: "AES-GCM", iv: nonce(context.salt, ctr), additionalData, tagLength: 8 * TAG_BYTES };
}

function bytesFor(value: number): number {
    let length = 1;
    for (let rest = Math.floor(value / 256); rest > 0; rest = Math.floor(rest / 256)) length++;
    return length;
}

function bigEndian(value: number, length: number): Bytes {
    const out = new Uint8Array(length);
    let rest = value;
    for (let i = length - 1; i >= 0; i--) {
        out[i] = rest % 256;
        rest = Math.floor(rest / 256);
    }
    return out;
}

function readBigEndian(data: Uint8Array, at: number, length: number): number {
    let value = 0;
    for (let i = 0; i < length; i++) value = value * 256 + data[at + i]!;
    return value;
}
