// The homeserver ends what we announce unless it hears from us: for the day on which this page vanishes without a word.

import { count } from "../guard.ts";
import type { DelayedEnds } from "../matrix/delayedevents.ts";
import { SWITCH_RETRY_MS } from "../protocol/limits.ts";

/** So often within its delay is the end put off. Fewer: one lost request ends a living conference; more: load for the homeserver. */
const PUT_OFF = 3;

export class DeadManSwitch {
    readonly #ends: DelayedEnds;
    readonly #delayMs: number;
    #armed = false;
    #id: string | null = null;
    #timer: ReturnType<typeof setTimeout> | undefined;
    #swept = false;
    /** One request to the homeserver after the other. */
    #queue: Promise<void> = Promise.resolve();

    constructor(ends: DelayedEnds, delayMs: number) {
        this.#ends = ends;
        this.#delayMs = delayMs;
    }

    get armed(): boolean {
        return this.#armed;
    }

    /** The homeserver has it. */
    get set(): boolean {
        return this.#id !== null;
    }

    /** From now on it is put off again and again. */
    arm(): void {
        if (this.#armed) return;
        this.#armed = true;
        this.#tend();
    }

    /** It will not go off any more. */
    disarm(): Promise<void> {
        this.abandon();
        return this.#enqueue(async () => {
            const id = this.#id;
            this.#id = null;
            if (id !== null) await this.#ends.callOff(id);
        });
    }

    /** It goes off in its own time. */
    abandon(): void {
        this.#armed = false;
        clearTimeout(this.#timer);
    }

    /** It goes off now: the page goes away, and nobody is left. */
    release(): void {
        this.abandon();
        if (this.#id !== null) this.#ends.bringOn(this.#id);
        this.#id = null;
    }

    #tend(): void {
        this.#again(this.#delayMs / PUT_OFF);
        void this.#enqueue(async () => {
            if (!this.#armed) return;
            try {
                await this.#putOff();
            } catch (error) {
                this.#again(SWITCH_RETRY_MS);
                throw error;
            }
        });
    }

    #again(ms: number): void {
        if (!this.#armed) return;
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#tend(), ms);
    }

    async #putOff(): Promise<void> {
        if (this.#id !== null && (await this.#ends.putOff(this.#id))) return;
        this.#id = await this.#ends.schedule(this.#delayMs);
        if (this.#id !== null && !this.#swept) await this.#sweep();
        this.#swept = true;
    }

    /** A page of ours that vanished and came back would else be ended by its former self. */
    async #sweep(): Promise<void> {
        for (const id of await this.#ends.pending()) if (id !== this.#id) await this.#ends.callOff(id);
    }

    #enqueue(step: () => Promise<void>): Promise<void> {
        this.#queue = this.#queue.then(step).catch(() => count("dead man's switch"));
        return this.#queue;
    }
}
