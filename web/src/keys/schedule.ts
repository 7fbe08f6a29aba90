// When this member's keys change and when a change is used. Pure: the time is an argument, in seconds.
//
// On join every key steps forward once; on leave every source gets a new one. At most one key event goes out in
// KEY_COALESCE_S, so changes in between melt into one, and a leave outweighs any number of joins. A step is used as
// soon as the homeserver took its event, a new key KEY_GRACE_S later, when the others had time to read it.

import { KEY_COALESCE_S, KEY_GRACE_S, KEY_RETRY_S } from "../protocol/limits.ts";

/** "first": the keys of a new membership; "step": ratchet forward; "new": new base keys, next epoch. */
export type Change = "first" | "step" | "new";

export type Action =
    | { do: "send"; change: Change }
    | { do: "use" }
    | { do: "wait"; until: number | null };

export class KeySchedule {
    #wanted: Change | null = null;
    #inFlight: Change | null = null;
    #lastSent = -Infinity;
    #notBefore = -Infinity;
    #useAt: number | null = null;

    /** The focus told us our number: nothing may be sent before the first keys are out. */
    start(): void {
        this.#wanted = "first";
    }

    memberJoined(): void {
        // The first keys are not out yet: the newcomer gets them like everybody else.
        if (this.#wanted === null) this.#wanted = "step";
    }

    memberLeft(): void {
        if (this.#wanted !== "first") this.#wanted = "new";
    }

    /** What to do now. After "send" exactly one of `accepted` or `failed` follows; after "use" nothing. */
    next(now: number): Action {
        if (this.#useAt !== null && now >= this.#useAt) {
            this.#useAt = null;
            return { do: "use" };
        }
        // A change that is sent but not in use yet must be used before the next is made from it.
        if (this.#inFlight !== null) return { do: "wait", until: null };
        if (this.#useAt !== null) return { do: "wait", until: this.#useAt };
        if (this.#wanted === null) return { do: "wait", until: null };
        const due = Math.max(this.#lastSent + KEY_COALESCE_S, this.#notBefore);
        if (now < due) return { do: "wait", until: due };
        this.#inFlight = this.#wanted;
        this.#wanted = null;
        this.#lastSent = now;
        return { do: "send", change: this.#inFlight };
    }

    accepted(now: number): void {
        const change = this.#inFlight;
        this.#inFlight = null;
        if (change !== null) this.#useAt = change === "new" ? now + KEY_GRACE_S : now;
    }

    /** The sending failed: the same change is wanted again, or a stronger one that came meanwhile. */
    failed(now: number): void {
        const change = this.#inFlight;
        this.#inFlight = null;
        if (change === null) return;
        if (change === "first" || (change === "new" && this.#wanted !== "first") || this.#wanted === null) this.#wanted = change;
        this.#notBefore = now + KEY_RETRY_S;
    }
}
