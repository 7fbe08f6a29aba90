// Another path for a connection whose old one is interrupted, as when the network has changed: ICE restart through the direct chat,
// because the data channel went the old way. What does not come back by it is resumed (docs/protocol.md 3, 3.3).

import { count } from "../guard.ts";
import { RESTART_AFTER_MS, RESTART_PAUSE_MS, RESTARTED_MS } from "../protocol/limits.ts";

export interface RepathPorts {
    /** The path is interrupted. */
    needed(): boolean;
    /** Offers new credentials and takes the answer. */
    restart(): Promise<void>;
    /** Whether or not it has helped. */
    done(): void;
    wait(ms: number): Promise<void>;
    now(): number;
}

/** How often it is looked whether the new path is there, ms. */
const LOOK_MS = 50;

export class Repath {
    /** So often has a new path been agreed. */
    restarts = 0;
    readonly #ports: RepathPorts;
    #running = false;
    #last = -Infinity;

    constructor(ports: RepathPorts) {
        this.#ports = ports;
    }

    /** Nothing else needs to be done about the path yet. */
    get running(): boolean {
        return this.#running;
    }

    async run(): Promise<void> {
        const { needed, wait, now, done } = this.#ports;
        if (this.#running || now() - this.#last < RESTART_PAUSE_MS) return;
        this.#running = true;
        try {
            await wait(RESTART_AFTER_MS);
            if (needed()) await this.now();
        } catch {
            count("ICE restart");
        } finally {
            this.#running = false;
            done();
        }
    }

    /** Throws what went wrong. */
    async now(): Promise<void> {
        const { needed, restart, wait, now } = this.#ports;
        this.#last = now();
        await restart();
        this.restarts++;
        for (let waited = 0; needed() && waited < RESTARTED_MS; waited += LOOK_MS) await wait(LOOK_MS);
    }
}
