// The camera's three encodings, and how what the focus wants becomes sender parameters.

import type { WantedEncoding } from "../protocol/messages.ts";
import { RIDS, type Rid } from "../protocol/names.ts";

/** Capture size asked of the camera; the encodings are fractions of it. */
export const CAPTURE = { width: 1280, height: 720, frameRate: 30 };

/**
 * From low to high. The thumbnail always runs: it is what everybody sees of everybody. `m` and `f` cost encoding time
 * and wait until somebody looks. Bitrates: below about 120 kbit/s VP8 at 320x180 turns to blocks, above 2 Mbit/s
 * 720p of a face gains nothing visible. Every encoding names its frame rate: where one does not, Chromium runs the camera
 * at the lowest rate that any other names (measured: 15 instead of 30).
 */
const ENCODINGS: Record<Rid, RTCRtpEncodingParameters> = {
    t: { rid: "t", active: true, scaleResolutionDownBy: 4, maxBitrate: 150_000, maxFramerate: 15 },
    m: { rid: "m", active: false, scaleResolutionDownBy: 2, maxBitrate: 500_000, maxFramerate: 30 },
    f: { rid: "f", active: false, scaleResolutionDownBy: 1, maxBitrate: 1_700_000, maxFramerate: 30 },
};

export const NOTHING_WANTED: ReadonlyMap<Rid, WantedEncoding> = new Map(RIDS.map((rid) => [rid, { active: false }]));

export function firstEncodings(): RTCRtpEncodingParameters[] {
    return RIDS.map((rid) => ({ ...ENCODINGS[rid] }));
}

/** Changes `encodings` in place to what the focus wants; true when something changed. */
export function applyWanted(encodings: RTCRtpEncodingParameters[], wanted: ReadonlyMap<Rid, WantedEncoding>): boolean {
    let changed = false;
    for (const encoding of encodings) {
        const rid = encoding.rid as Rid | undefined;
        if (rid === undefined || !(rid in ENCODINGS)) continue;
        const want = wanted.get(rid);
        const first = ENCODINGS[rid];
        // Browsers read the fields back rounded or with more members: compare ours only.
        const target: Partial<RTCRtpEncodingParameters> = {
            active: want?.active ?? rid === "t",
            maxBitrate: want?.maxBitrate ?? first.maxBitrate,
            scaleResolutionDownBy: want?.scaleResolutionDownBy ?? first.scaleResolutionDownBy,
        };
        const framerate = want?.maxFramerate ?? first.maxFramerate;
        if (framerate !== undefined) target.maxFramerate = framerate;
        for (const [name, value] of Object.entries(target)) {
            if (encoding[name as keyof RTCRtpEncodingParameters] === value) continue;
            Object.assign(encoding, { [name]: value });
            changed = true;
        }
    }
    return changed;
}
