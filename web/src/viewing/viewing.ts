// What this person looks at: which pictures, how large, in what order, and what the focus is asked for because of it.

import { AWAY_MS, SIZE_SETTLE_MS } from "../protocol/limits.ts";
import { layout, type Rect } from "./layout.ts";
import { sameSpot, spotKey, Spotlight, type Spot, type View } from "./spotlight.ts";
import { Subscriptions, type Wish } from "./subscriptions.ts";

/** Who keeps a picture when there is too little for all. Above 0 also keeps a member on its slot pair, so that is for few. */
const PRIORITY = { pinned: 9, large: 8, speaker: 6, screen: 4, other: 0, hidden: 0 };

/**
 * A small tile is drawn with each of its pixels as two at most: of many small pictures none needs to be pixel by pixel, and the next larger
 * encoding costs its sender and every viewer three times as much.
 */
const STRETCH = Math.SQRT2;

export interface Cast {
    /** Member numbers in the order in which they came. */
    others: number[];
    screens: number[];
    self: number | null;
    dominant: number | null;
}

export interface ViewingPorts {
    cast(): Cast;
    /** The focus can be told something now. */
    open(): boolean;
    send(message: object): void;
    /** What is shown where has changed. */
    changed(): void;
}

/** The pictures in their order, each with its place; the own tile's place comes last. */
export interface Seats {
    spots: Spot[];
    rects: Rect[];
    large: number | null;
    /** Lower edge of the lowest tile: more than the stage is high when it must be scrolled. */
    height: number;
}

export class Viewing {
    readonly spotlight = new Spotlight();
    readonly #ports: ViewingPorts;
    readonly #subscriptions = new Subscriptions();
    #stage = { width: 0, height: 0, ratio: 1 };
    #hidden = new Set<string>();
    #away = false;
    #awayTimer: ReturnType<typeof setTimeout> | undefined;
    #settle: ReturnType<typeof setTimeout> | undefined;
    /** Shown in a window of its own, which stays in sight when the page does not. */
    #floating: { spot: Spot; height: number } | null = null;

    constructor(ports: ViewingPorts) {
        this.#ports = ports;
    }

    get away(): boolean {
        return this.#away;
    }

    get large(): Spot | null {
        const { others, screens } = this.#ports.cast();
        return this.spotlight.large(others, screens);
    }

    seats(): Seats {
        const { others, screens } = this.#ports.cast();
        const spots: Spot[] = [
            ...screens.map((member) => ({ member, source: "screen" as const })),
            ...others.map((member) => ({ member, source: "camera" as const })),
        ];
        const large = this.spotlight.large(others, screens);
        const at = large ? spots.findIndex((spot) => sameSpot(spot, large)) : -1;
        const rects = layout(spots.length + 1, at < 0 ? null : at, this.#stage.width, this.#stage.height);
        return { spots, rects, large: at < 0 ? null : at, height: Math.max(0, ...rects.map(({ top, height }) => top + height)) };
    }

    /** Size of the stage in CSS pixels, and device pixels per CSS pixel. */
    resize(width: number, height: number, ratio: number): void {
        if (this.#stage.width === width && this.#stage.height === height && this.#stage.ratio === ratio) return;
        this.#stage = { width, height, ratio };
        this.refresh();
    }

    /** A tile went out of what can be seen of the page, or came back. */
    outOfSight(key: string, hidden: boolean): void {
        if (this.#hidden.has(key) === hidden) return;
        if (hidden) this.#hidden.add(key);
        else this.#hidden.delete(key);
        this.refresh(!hidden);
    }

    /** The page is in the background: after a while nothing is looked at any more. Coming back counts at once. */
    pageHidden(hidden: boolean): void {
        clearTimeout(this.#awayTimer);
        if (hidden) this.#awayTimer = setTimeout(() => this.#setAway(true), AWAY_MS);
        else this.#setAway(false);
    }

    floating(spot: Spot | null, height = 360): void {
        this.#floating = spot && { spot, height };
        this.refresh(true);
    }

    toggle(spot: Spot): void {
        this.spotlight.toggle(spot, this.large);
        this.refresh(true);
    }

    pin(spot: Spot | null): void {
        this.spotlight.pinned = spot;
        this.refresh(true);
    }

    /** A moderator's word for everybody; null: nobody. */
    putBefore(spot: Spot | null): void {
        this.spotlight.putBefore(spot);
        this.refresh(true);
    }

    setView(view: View): void {
        this.spotlight.view = view;
        this.spotlight.pinned = null;
        this.refresh(true);
    }

    speaker(member: number | null, self: number | null): void {
        const before = this.large;
        this.spotlight.speaker(member, self);
        this.refresh(!sameSpot(before, this.large));
    }

    gone(member: number): void {
        this.spotlight.gone(member);
        for (const source of ["camera", "screen"] as const) this.#hidden.delete(spotKey({ member, source }));
        if (this.#floating?.spot.member === member) this.#floating = null;
    }

    /** Tells the focus what has changed: at once when a person waits for it, otherwise when sizes have settled. */
    refresh(now = false): void {
        this.spotlight.screens(this.#ports.cast().screens);
        this.#ports.changed();
        if (now) return this.#tell();
        this.#settle ??= setTimeout(() => this.#tell(), SIZE_SETTLE_MS);
    }

    wishes(): Map<string, { spot: Spot; wish: Wish }> {
        const { spots, rects, large } = this.seats();
        const { dominant } = this.#ports.cast();
        return new Map(spots.map((spot, i) => [spotKey(spot), { spot, wish: this.#wish(spot, rects[i], i === large, dominant) }]));
    }

    told(spot: Spot): Wish {
        return this.#subscriptions.told(spot);
    }

    close(): void {
        clearTimeout(this.#awayTimer);
        clearTimeout(this.#settle);
    }

    #wish(spot: Spot, rect: Rect | undefined, large: boolean, dominant: number | null): Wish {
        const floating = sameSpot(spot, this.#floating?.spot ?? null) ? this.#floating!.height : 0;
        const seen = !this.#away && !this.#hidden.has(spotKey(spot));
        const { ratio } = this.#stage;
        // Before the stage has been measured: what it will be, as a rule.
        const size = rect ? { width: rect.width * ratio, height: rect.height * ratio } : large ? { width: 1280, height: 720 } : { width: 320, height: 180 };
        const needed = large ? 1 : 1 / STRETCH;
        const height = Math.round(Math.max(seen ? size.height * (rect ? needed : 1) : 0, floating * ratio));
        const width = Math.round((height * 16) / 9);
        const pinned = sameSpot(spot, this.spotlight.pinned);
        const priority =
            height === 0 ? PRIORITY.hidden
            : pinned ? PRIORITY.pinned
            : large ? PRIORITY.large
            : spot.source === "screen" ? PRIORITY.screen
            : spot.member === dominant ? PRIORITY.speaker
            : PRIORITY.other;
        return { width, height, focus: large && height > 0, priority };
    }

    #setAway(away: boolean): void {
        if (this.#away === away) return;
        this.#away = away;
        this.refresh(true);
    }

    #tell(): void {
        clearTimeout(this.#settle);
        this.#settle = undefined;
        if (!this.#ports.open()) return;
        for (const message of this.#subscriptions.update(this.wishes())) this.#ports.send(message);
    }
}
