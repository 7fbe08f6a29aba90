// Counters already seen under one KID. A window, not strict order: layers of one source interleave at a switch.

import { REPLAY_WINDOW } from "../protocol/limits.ts";

export class ReplayWindow {
    readonly #from: number;
    #highest: number;
    #seen = new Uint8Array(REPLAY_WINDOW);

    /** `after`: nothing up to this counter is new. */
    constructor(after = -1) {
        this.#from = this.#highest = after;
    }

    get highest(): number {
        return this.#highest;
    }

    /** True when the counter is new and not older than the window. */
    allows(ctr: number): boolean {
        if (ctr > this.#highest) return true;
        if (ctr <= this.#from || this.#highest - ctr >= REPLAY_WINDOW) return false;
        return this.#seen[ctr % REPLAY_WINDOW] === 0;
    }

    /** Only after the frame was authenticated: a forged counter must not close the window. */
    record(ctr: number): void {
        if (ctr > this.#highest) {
            if (ctr - this.#highest >= REPLAY_WINDOW) this.#seen.fill(0);
            else for (let i = this.#highest + 1; i < ctr; i++) this.#seen[i % REPLAY_WINDOW] = 0;
            this.#highest = ctr;
        }
        this.#seen[ctr % REPLAY_WINDOW] = 1;
    }
}
