// When a missing key is asked for, and how often a request of somebody else is answered. Pure.

import { KEY_PATIENCE_S, KEY_REQUEST_S } from "../protocol/limits.ts";

/** At most one in `interval` seconds for each key. */
export class EachAtMostEvery<K> {
    readonly #interval: number;
    #last = new Map<K, number>();

    constructor(interval: number) {
        this.#interval = interval;
    }

    allows(key: K, now: number): boolean {
        if (now - (this.#last.get(key) ?? -Infinity) < this.#interval) return false;
        this.#last.set(key, now);
        return true;
    }

    forget(key: K): void {
        this.#last.delete(key);
    }
}

export class MissingKeys {
    #asked = new EachAtMostEvery<number>(KEY_REQUEST_S);

    /** `missingSince` is when the first frame of `member` without a key came. True: ask now. */
    shouldAsk(member: number, missingSince: number, now: number): boolean {
        return now - missingSince >= KEY_PATIENCE_S && this.#asked.allows(member, now);
    }
}
