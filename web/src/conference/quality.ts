// Reads the statistics while a call goes on: rates, losses and sizes of each slot.

import type { Peer } from "../call/peer.ts";
import { qualities, type Quality, type Reading } from "../call/quality.ts";
import { digestAll } from "../call/stats.ts";
import { count } from "../guard.ts";
import { QUALITY_MS } from "../protocol/limits.ts";

export class QualityWatch {
    readonly #peers: () => Peer[];
    readonly #changed: () => void;
    #timer: ReturnType<typeof setInterval> | undefined;
    #before: Reading | null = null;
    #now = new Map<string, Quality>();

    constructor(peers: () => Peer[], changed: () => void) {
        this.#peers = peers;
        this.#changed = changed;
    }

    start(): void {
        this.#timer ??= setInterval(() => this.#read().catch(() => count("statistics")), QUALITY_MS);
    }

    /** Of one slot, by the media worker's name. */
    of(receiver: string | null): Quality | null {
        return this.#now.get(receiver ?? "") ?? null;
    }

    /** The newest reading. */
    get latest(): Reading | null {
        return this.#before;
    }

    close(): void {
        clearInterval(this.#timer);
    }

    async #read(): Promise<void> {
        const reading = { at: performance.now(), stats: await digestAll(this.#peers()) };
        if (this.#before) this.#now = qualities(this.#before, reading);
        this.#before = reading;
        this.#changed();
    }
}
