// Readers of what the focus says about rates: what to send, what arrives, who speaks, what viewers lose.

import { array, boolean, integer, memberNumber, object, own, type Json } from "./check.ts";
import { MAX_MEMBERS, MAX_SLOTS } from "./limits.ts";
import { RIDS, SOURCES, type Rid, type Source } from "./names.ts";

export interface WantedEncoding {
    active: boolean;
    maxBitrate?: number;
    /** Of the encoding's own nominal size. */
    scaleResolutionDownBy?: number;
    maxFramerate?: number;
}

export interface Speakers {
    speaking: number[];
    dominant: number | null;
}

/** What a slot gets; `encoding` null: nothing, because the network does not carry it. */
export interface Layer {
    encoding: Rid | null;
    temporal: number | null;
}

/** What those who watch a source lose of it, 0..1. */
export interface Viewers {
    viewers: number;
    lostMean: number;
    lostWorst: number;
}

export function send(content: Json): Map<Source, Map<Rid, WantedEncoding>> {
    const wanted = new Map<Source, Map<Rid, WantedEncoding>>();
    const sources = object(own(content, "sources"), "sources");
    for (const source of SOURCES) {
        if (!Object.hasOwn(sources, source)) continue;
        const given = object(own(object(sources[source], source), "encodings") ?? {}, "encodings");
        const encodings = new Map<Rid, WantedEncoding>();
        for (const rid of RIDS) {
            if (Object.hasOwn(given, rid)) encodings.set(rid, wantedEncoding(object(given[rid], rid)));
        }
        wanted.set(source, encodings);
    }
    return wanted;
}

/** A field that is not as the contract says is as if left out. */
function wantedEncoding(given: Json): WantedEncoding {
    const wanted: WantedEncoding = { active: boolean(own(given, "active"), "active") };
    const bitrate = own(given, "max_bitrate");
    const framerate = own(given, "max_framerate");
    const scale = own(given, "scale_resolution_down_by");
    if (isWhole(bitrate) && bitrate > 0) wanted.maxBitrate = bitrate;
    if (isWhole(framerate) && framerate >= 1 && framerate <= 60) wanted.maxFramerate = framerate;
    if (typeof scale === "number" && scale >= 1 && scale <= 16) wanted.scaleResolutionDownBy = scale;
    return wanted;
}

function isWhole(value: unknown): value is number {
    return Number.isSafeInteger(value);
}

export function speakers(content: Json): Speakers {
    const dominant = own(content, "dominant") ?? null;
    return {
        speaking: array(own(content, "speaking") ?? [], MAX_MEMBERS, "speaking").map(memberNumber),
        dominant: dominant === null ? null : memberNumber(dominant),
    };
}

/** Only slots that changed are named. */
export function layers(content: Json): Map<string, Layer> {
    const slots = Object.entries(object(own(content, "slots"), "slots"));
    return new Map(
        array(slots, MAX_SLOTS, "slots").map((entry) => {
            const [mid, value] = entry as [string, unknown];
            const layer = object(value, "layer");
            const encoding = own(layer, "encoding") ?? null;
            const temporal = own(layer, "temporal") ?? null;
            return [mid, { encoding: isRid(encoding) ? encoding : null, temporal: temporal === null ? null : integer(temporal, 0, 7, "temporal") }];
        }),
    );
}

export function viewers(content: Json): Map<Source, Viewers> {
    const told = new Map<Source, Viewers>();
    const sources = object(own(content, "sources"), "sources");
    for (const source of SOURCES) {
        if (!Object.hasOwn(sources, source)) continue;
        const one = object(sources[source], source);
        told.set(source, {
            viewers: integer(own(one, "viewers") ?? 0, 0, MAX_MEMBERS, "viewers"),
            lostMean: share(own(one, "lost_mean")),
            lostWorst: share(own(one, "lost_worst")),
        });
    }
    return told;
}

function share(value: unknown): number {
    return typeof value === "number" ? Math.min(1, Math.max(0, value)) : 0;
}

function isRid(value: unknown): value is Rid {
    return (RIDS as readonly unknown[]).includes(value);
}
