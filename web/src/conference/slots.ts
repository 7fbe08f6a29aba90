// Which receive slot carries whom. Pure: receivers are known here by name and mid.

import type { Slot } from "../protocol/messages.ts";
import { LOUDEST_SLOTS, MAX_SLOT_PAIRS, SLOT_PAIR_STEP } from "../protocol/limits.ts";
import type { Source } from "../protocol/names.ts";

export interface Assignment {
    receiver: string;
    member: number | null;
    source: Source | null;
}

export class Slots {
    #revision = -1;
    #assigned = new Map<string, Assignment>();

    /** Takes over a newer list; returns what changed, by receiver. `named` maps mids to receivers. */
    apply(revision: number, slots: Slot[], named: (mid: string) => string | undefined): Assignment[] {
        if (revision <= this.#revision) return [];
        this.#revision = revision;
        const next = new Map<string, Assignment>();
        for (const { mid, member, source } of slots) {
            const receiver = named(mid);
            if (receiver === undefined) continue;
            const empty = member === null || source === null;
            next.set(receiver, { receiver, member: empty ? null : member, source: empty ? null : source });
        }
        // The list is always whole: what it does not name carries nothing.
        for (const receiver of this.#assigned.keys()) {
            if (!next.has(receiver)) next.set(receiver, { receiver, member: null, source: null });
        }
        const changes = [...next.values()].filter((one) => {
            const before = this.#assigned.get(one.receiver);
            return before?.member !== one.member || before?.source !== one.source;
        });
        this.#assigned = next;
        return changes;
    }

    get told(): boolean {
        return this.#revision >= 0;
    }

    receiverOf(member: number, source: Source): string | null {
        for (const one of this.#assigned.values()) if (one.member === member && one.source === source) return one.receiver;
        return null;
    }

    at(receiver: string): Assignment | undefined {
        return this.#assigned.get(receiver);
    }
}

/**
 * What to offer more when `pictures` (others and their screens) meet `pairs` pairs. Whoever is left without a pair at the limit can
 * still be heard, on audio slots for the loudest.
 */
export function slotsToAdd(pictures: number, pairs: number, loudest: number, maxPairs = MAX_SLOT_PAIRS): { pairs: number; loudest: number } {
    const most = Math.min(maxPairs, MAX_SLOT_PAIRS);
    const wanted = Math.min(Math.ceil(pictures / SLOT_PAIR_STEP) * SLOT_PAIR_STEP, most);
    return {
        pairs: pictures > pairs ? Math.max(0, wanted - pairs) : 0,
        loudest: pictures > Math.max(most, pairs) ? Math.max(0, LOUDEST_SLOTS - loudest) : 0,
    };
}
