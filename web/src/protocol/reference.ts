// A call's number for people, made of its id at both ends: whoever runs the server finds the call by it.

import { utf8 } from "../bytes.ts";

/** Crockford's base 32: no I, L, O and U, which are misheard and misread. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Such as "K7M-2QX" (docs/protocol.md section 3). */
export async function reference(callId: string): Promise<string> {
    const digest = new DataView(await crypto.subtle.digest("SHA-256", utf8(callId)));
    const bits = digest.getUint32(0) >>> 2;
    const text = [25, 20, 15, 10, 5, 0].map((shift) => ALPHABET[(bits >>> shift) & 31]).join("");
    return `${text.slice(0, 3)}-${text.slice(3)}`;
}
