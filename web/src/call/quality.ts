// How well each slot's picture and sound arrive, from two readings of the statistics, and what to call it. Pure.

import type { PeerStats } from "./stats.ts";

export interface Reading {
    at: number;
    stats: PeerStats;
}

/** Of one slot, between two readings. */
export interface Quality {
    kbps: number;
    framesPerSecond: number;
    width: number;
    height: number;
    /** 0..1 */
    lost: number;
    /** Sound made up because it did not come, 0..1. */
    concealed: number;
    freezes: number;
}

export type Grade = "good" | "fair" | "poor";

export function qualities(before: Reading, after: Reading): Map<string, Quality> {
    const seconds = (after.at - before.at) / 1000;
    const earlier = new Map(before.stats.receivers.map((row) => [row.receiver, row]));
    const found = new Map<string, Quality>();
    if (seconds <= 0) return found;
    for (const row of after.stats.receivers) {
        const old = earlier.get(row.receiver) ?? {};
        const grown = (name: string) => Math.max(0, Number(row[name] ?? 0) - Number(old[name] ?? 0));
        const packets = grown("packetsReceived");
        const lost = grown("packetsLost");
        const samples = grown("totalSamplesReceived");
        found.set(String(row.receiver), {
            kbps: Math.round((8 * grown("bytesReceived")) / 1000 / seconds),
            framesPerSecond: Math.round(grown("framesDecoded") / seconds),
            width: Number(row.frameWidth ?? 0),
            height: Number(row.frameHeight ?? 0),
            lost: packets + lost > 0 ? lost / (packets + lost) : 0,
            concealed: packets > 0 && samples > 0 ? Math.max(0, grown("concealedSamples") - grown("silentConcealedSamples")) / samples : 0,
            freezes: grown("freezeCount"),
        });
    }
    return found;
}

/** What a person would notice. `paused`: the network does not carry the picture. */
export function grade(picture: Quality | null, sound: Quality | null, paused: boolean): Grade {
    const lost = Math.max(picture?.lost ?? 0, sound?.lost ?? 0);
    const concealed = sound?.concealed ?? 0;
    if (paused || lost > 0.1 || concealed > 0.08 || (picture?.freezes ?? 0) > 1) return "poor";
    if (lost > 0.03 || concealed > 0.02 || (picture?.freezes ?? 0) > 0) return "fair";
    return "good";
}
