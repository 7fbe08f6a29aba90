// Key ids: 40 bits, member << 24 | source << 20 | (epoch mod 4096) << 8 | ratchet mod 256. They fit a double exactly.

export interface Kid {
    member: number;
    source: number;
    /** mod 4096 */
    epoch: number;
    /** mod 256 */
    ratchet: number;
}

export function joinKid(kid: Kid): number {
    return kid.member * 0x1000000 + (kid.source % 16) * 0x100000 + (kid.epoch % 4096) * 0x100 + (kid.ratchet % 256);
}

/** null when the number cannot be one of ours. */
export function splitKid(kid: number): Kid | null {
    if (kid < 0x1000000 || kid > 0xffffffffff) return null;
    const low = kid % 0x1000000;
    return {
        member: Math.floor(kid / 0x1000000),
        source: low >>> 20,
        epoch: (low >>> 8) & 0xfff,
        ratchet: low & 0xff,
    };
}

/** What names a base key: everything but the ratchet step. */
export function kidPrefix(kid: Kid): number {
    return Math.floor(joinKid(kid) / 256);
}
