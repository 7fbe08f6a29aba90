// This member's own base keys: made, stepped and renewed as the schedule says, sent, and then taken into use.

import { randomBytes } from "../bytes.ts";
import { count } from "../guard.ts";
import type { MediaKey } from "../protocol/events.ts";
import { KEY_COALESCE_S } from "../protocol/limits.ts";
import { ratchet } from "./ratchet.ts";
import { KeySchedule, type Change } from "./schedule.ts";

export interface OwnKeysPorts {
    /** Resolves when the homeserver has accepted the keys. */
    send(keys: MediaKey[]): Promise<void>;
    /** From now on frames are encrypted with these. */
    use(keys: MediaKey[]): void;
    /** seconds */
    now(): number;
}

/** Keys by the change that made them, counted from 1; 0: none yet. */
interface Made {
    change: number;
    keys: MediaKey[];
}

const NOTHING: Made = { change: 0, keys: [] };

export class OwnKeys {
    readonly #sources: number[];
    readonly #ports: OwnKeysPorts;
    readonly #schedule = new KeySchedule();
    #begun = 0;
    #begunAt = -Infinity;
    /** Of a sending that failed, which some may have nevertheless; null: none, or somebody left since. */
    #unsent: MediaKey[] | null = null;
    /** How often somebody left. */
    #leaves = 0;
    /** The highest that was sent: no number is ever of two keys. */
    #epoch = -1;
    #current = NOTHING;
    #pending = NOTHING;
    #timer: ReturnType<typeof setTimeout> | undefined;
    #stopped = false;

    constructor(sources: number[], ports: OwnKeysPorts) {
        this.#sources = sources;
        this.#ports = ports;
    }

    start(): void {
        this.#schedule.start();
        this.#pump();
    }

    /**
     * Returns the first change whose keys are for the newcomer: those before it open what was said without them. Keys made within
     * KEY_COALESCE_S count as made for them too: people who join together would else wait that long for picture and sound.
     */
    memberJoined(): number {
        const first = this.#ports.now() < this.#begunAt + KEY_COALESCE_S ? this.#begun : this.#begun + 1;
        this.#schedule.memberJoined();
        this.#pump();
        return first;
    }

    memberLeft(): void {
        this.#leaves++;
        this.#unsent = null;
        this.#schedule.memberLeft();
        this.#pump();
    }

    /** What somebody who lacks a key needs: the keys in use and those about to be, as far as `change` or a later one made them. */
    since(change: number): MediaKey[] {
        return [this.#current, this.#pending].flatMap((made) => (made.change >= change ? made.keys : []));
    }

    stop(): void {
        this.#stopped = true;
        clearTimeout(this.#timer);
        this.#current = this.#pending = NOTHING;
    }

    #pump(): void {
        clearTimeout(this.#timer);
        while (!this.#stopped) {
            const now = this.#ports.now();
            const action = this.#schedule.next(now);
            if (action.do === "wait") {
                if (action.until !== null) this.#timer = setTimeout(() => this.#pump(), 1000 * Math.max(0.01, action.until - now));
                return;
            }
            if (action.do === "send") {
                void this.#change(action.change);
                return;
            }
            this.#current = this.#pending;
            this.#pending = NOTHING;
            this.#ports.use(this.#current.keys);
        }
    }

    async #change(change: Change): Promise<void> {
        const number = ++this.#begun;
        const leaves = this.#leaves;
        let keys: MediaKey[] | null = null;
        this.#begunAt = this.#ports.now();
        try {
            keys = await this.#derive(change);
            if (this.#stopped) return;
            this.#pending = { change: number, keys };
            await this.#ports.send(keys);
            this.#schedule.accepted(this.#ports.now());
        } catch {
            count("own keys not sent");
            this.#pending = NOTHING;
            // The very same once more: receivers that have them all the same keep the first key of a number.
            this.#unsent = leaves === this.#leaves ? keys : null;
            this.#schedule.failed(this.#ports.now());
        }
        this.#pump();
    }

    #derive(change: Change): Promise<MediaKey[]> | MediaKey[] {
        const unsent = this.#unsent;
        this.#unsent = null;
        if (unsent && change !== "step") return unsent;
        const { keys } = this.#current;
        // The wire has 8 bits of the step: the 256th would pass for the first, whose key receivers still have.
        if (change === "step" && keys.every((one) => one.ratchet < 255)) {
            return Promise.all(keys.map(async (one) => ({ ...one, ratchet: one.ratchet + 1, key: await ratchet(one.key) })));
        }
        const epoch = ++this.#epoch;
        return this.#sources.map((source) => ({ source, epoch, ratchet: 0, key: randomBytes(16) }));
    }
}
