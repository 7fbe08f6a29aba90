// Who may give keys for which member number. Pure.
//
// A member number belongs to the first (user, device) that the roster names for it, for as long as the conference
// lasts; numbers are never used twice. Keys of a number the roster has not named yet wait, bounded, until it does.

import { MAX_EARLY_KEYS } from "../protocol/limits.ts";
import type { MediaKey } from "../protocol/events.ts";

export interface Claim {
    member: number;
    userId: string;
    deviceId: string;
    keys: MediaKey[];
}

export type Verdict = "accepted" | "early" | "refused";

export class KeyOwners {
    #owners = new Map<number, string>();
    #early: Claim[] = [];

    /** Keys whose true sender is `claim.userId`, `claim.deviceId`. */
    offer(claim: Claim): Verdict {
        const owner = this.#owners.get(claim.member);
        if (owner !== undefined) return owner === nameOf(claim) ? "accepted" : "refused";
        this.#early.push(claim);
        if (this.#early.length > MAX_EARLY_KEYS) this.#early.shift();
        return "early";
    }

    /** The roster names a member. Returns the claims that waited for it; false when the number is another device's. */
    admit(member: number, userId: string, deviceId: string): Claim[] | false {
        const name = nameOf({ userId, deviceId });
        const owner = this.#owners.get(member);
        if (owner !== undefined && owner !== name) return false;
        this.#owners.set(member, name);
        const waiting = this.#early.filter((claim) => claim.member === member);
        if (waiting.length > 0) this.#early = this.#early.filter((claim) => claim.member !== member);
        return waiting.filter((claim) => nameOf(claim) === name);
    }
}

function nameOf(who: { userId: string; deviceId: string }): string {
    return `${who.userId}\n${who.deviceId}`;
}
