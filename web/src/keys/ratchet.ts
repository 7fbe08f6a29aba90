import { utf8, type Bytes } from "../bytes.ts";
import { RATCHET_LABEL } from "../protocol/names.ts";

/** One step forward (RFC 9605 section 5.1); nobody can step back from the result. */
export async function ratchet(key: Bytes): Promise<Bytes> {
    const secret = await crypto.subtle.importKey("raw", key, "HKDF", false, ["deriveBits"]);
    const derivation = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: utf8(RATCHET_LABEL) };
    return new Uint8Array(await crypto.subtle.deriveBits(derivation, secret, 8 * key.length));
}
