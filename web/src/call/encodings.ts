// The pyramids of camera and screen, and how what the focus wants becomes sender parameters.

import type { WantedEncoding } from "../protocol/adaptation.ts";
import { RIDS, type PictureSource, type Rid } from "../protocol/names.ts";

/** Capture size asked of the camera; the encodings are fractions of it. */
export const CAPTURE = { width: 1280, height: 720, frameRate: 30 };
/** Of a screen. More lines than 1080 cost every viewer encoding and decoding time that text does not need. */
export const SCREEN_CAPTURE = { width: 1920, height: 1080, frameRate: 15 };

type Pyramid = Partial<Record<Rid, RTCRtpEncodingParameters>>;

/**
 * From low to high. The thumbnail always runs: it is what everybody sees of everybody. `m` and `f` cost encoding time
 * and wait until somebody looks. Bitrates: below about 120 kbit/s VP8 at 320x180 turns to blocks, above 2 Mbit/s
 * 720p of a face gains nothing visible. Every encoding names its frame rate: where one does not, Chromium runs the camera
 * at the lowest rate that any other names (measured: 15 instead of 30).
 */
const CAMERA: Pyramid = {
    t: { rid: "t", active: true, scaleResolutionDownBy: 4, maxBitrate: 150_000, maxFramerate: 15 },
    m: { rid: "m", active: false, scaleResolutionDownBy: 2, maxBitrate: 500_000, maxFramerate: 30 },
    f: { rid: "f", active: false, scaleResolutionDownBy: 1, maxBitrate: 1_700_000, maxFramerate: 30 },
};

/** Detail before motion: letters must be read, so frames go first. Half the size at 5 a second is the least that can still be read. */
const SCREEN: Pyramid = {
    t: { rid: "t", active: true, scaleResolutionDownBy: 2, maxBitrate: 200_000, maxFramerate: 5 },
    f: { rid: "f", active: false, scaleResolutionDownBy: 1, maxBitrate: 2_500_000, maxFramerate: 15 },
};

const PYRAMIDS: Record<PictureSource, Pyramid> = { camera: CAMERA, screen: SCREEN };

export const NOTHING_WANTED: ReadonlyMap<Rid, WantedEncoding> = new Map(RIDS.map((rid) => [rid, { active: false }]));

export function firstEncodings(source: PictureSource = "camera"): RTCRtpEncodingParameters[] {
    return RIDS.flatMap((rid) => PYRAMIDS[source][rid] ?? []).map((encoding) => ({ ...encoding }));
}

/** Changes `encodings` in place to what the focus wants; null: it has not said yet. True when something changed. */
export function applyWanted(encodings: RTCRtpEncodingParameters[], wanted: ReadonlyMap<Rid, WantedEncoding> | null, source: PictureSource = "camera"): boolean {
    let changed = false;
    for (const encoding of encodings) {
        const nominal = PYRAMIDS[source][encoding.rid as Rid];
        if (!nominal) continue;
        const want = wanted?.get(encoding.rid as Rid);
        // Browsers read the fields back rounded or with more members: compare ours only.
        const target: Partial<RTCRtpEncodingParameters> = {
            active: wanted ? (want?.active ?? false) : (nominal.active ?? false),
            maxBitrate: want?.maxBitrate ?? nominal.maxBitrate,
            scaleResolutionDownBy: (nominal.scaleResolutionDownBy ?? 1) * (want?.scaleResolutionDownBy ?? 1),
            maxFramerate: want?.maxFramerate ?? nominal.maxFramerate,
        };
        for (const [name, value] of Object.entries(target)) {
            const now = encoding[name as keyof RTCRtpEncodingParameters];
            if (now === value || (typeof now === "number" && typeof value === "number" && Math.abs(now - value) < 0.01)) continue;
            Object.assign(encoding, { [name]: value });
            changed = true;
        }
    }
    return changed;
}
