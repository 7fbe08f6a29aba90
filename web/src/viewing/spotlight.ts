// Which picture is shown large. Pure.

import type { PictureSource } from "../protocol/names.ts";

/** One picture of one other member. */
export interface Spot {
    member: number;
    source: PictureSource;
}

export type View = "grid" | "speaker";

export function spotKey({ member, source }: Spot): string {
    return `${member}/${source}`;
}

export function sameSpot(a: Spot | null, b: Spot | null): boolean {
    return a?.member === b?.member && a?.source === b?.source;
}

export class Spotlight {
    view: View = "grid";
    pinned: Spot | null = null;
    /** Whom a moderator puts before everybody who has not chosen for themselves. */
    common: Spot | null = null;
    /** Screens that somebody put back into the grid: they come large by themselves only once. */
    #dismissed = new Set<number>();
    #dismissedCommon = false;
    /** The last other member who held the floor: in silence, and while we speak ourselves, the picture stays. */
    #lastSpeaker: number | null = null;

    speaker(member: number | null, self: number | null): void {
        if (member !== null && member !== self) this.#lastSpeaker = member;
    }

    putBefore(spot: Spot | null): void {
        this.common = spot;
        this.#dismissedCommon = false;
    }

    /** `others` and `screens` by member number, in the order in which they came. */
    large(others: number[], screens: number[]): Spot | null {
        for (const spot of [this.pinned, this.#dismissedCommon ? null : this.common]) {
            if (spot && (spot.source === "camera" ? others : screens).includes(spot.member)) return spot;
        }
        const screen = screens.findLast((member) => !this.#dismissed.has(member));
        if (screen !== undefined) return { member: screen, source: "screen" };
        if (others.length === 1 || (this.view === "speaker" && others.length > 0)) {
            const speaker = others.find((member) => member === this.#lastSpeaker);
            return { member: speaker ?? others[0]!, source: "camera" };
        }
        return null;
    }

    /** A click on a picture: a large one goes back, any other comes large. */
    toggle(spot: Spot, large: Spot | null): void {
        if (!sameSpot(spot, large)) {
            this.pinned = spot;
            return;
        }
        const own = this.pinned !== null;
        this.pinned = null;
        if (!own && sameSpot(spot, this.common)) {
            this.#dismissedCommon = true;
            return;
        }
        if (spot.source === "screen") this.#dismissed.add(spot.member);
        // In speaker view there is always somebody large: going back means to the grid.
        else this.view = "grid";
    }

    gone(member: number): void {
        this.#dismissed.delete(member);
        if (this.pinned?.member === member) this.pinned = null;
        if (this.#lastSpeaker === member) this.#lastSpeaker = null;
    }

    /** A member's screen that is no longer shared is new when it comes again. */
    screens(shared: number[]): void {
        for (const member of this.#dismissed) if (!shared.includes(member)) this.#dismissed.delete(member);
        if (this.pinned?.source === "screen" && !shared.includes(this.pinned.member)) this.pinned = null;
    }
}
