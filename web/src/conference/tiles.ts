// The other members as the screen shows them, and of each source since when nothing comes though it should.

import type { KeyExchange } from "../keys/exchange.ts";
import { OVERDUE_LOOK_MS, OVERDUE_MS, STILL_MS } from "../protocol/limits.ts";
import type { Member } from "../protocol/messages.ts";
import type { PictureSource } from "../protocol/names.ts";
import { spotKey, type Spot } from "../viewing/spotlight.ts";
import { picture, type Shown, type TileView } from "./received.ts";

export interface TilesPorts {
    others(): Member[];
    tile(member: Member): TileView;
    /** A picture is asked for. */
    looked(spot: Spot): boolean;
    keys(): KeyExchange | null;
    changed(): void;
    /** ms */
    now(): number;
}

/** What people see and hear of one member. */
export type Heeded = "audio" | PictureSource;

export class Tiles {
    readonly #ports: TilesPorts;
    /** By member and source: since when it is waited for. */
    #since = new Map<string, number>();
    #timer: ReturnType<typeof setInterval> | undefined;

    constructor(ports: TilesPorts) {
        this.#ports = ports;
    }

    all(): TileView[] {
        return this.#ports.others().map((one) => this.#ports.tile(one));
    }

    /** Of a tile whose key has not come. */
    missing({ member, audio, camera, screen }: TileView): { seconds: number; asked: boolean } {
        const since = [audio, camera, screen].flatMap((shown) => shown?.report?.missingSince ?? []);
        const seconds = since.length > 0 ? Math.round((this.#ports.now() - Math.min(...since)) / 1000) : 0;
        return { seconds, asked: this.#ports.keys()?.askedAgain(member) ?? false };
    }

    /** Nothing comes of it though it should: for so many seconds; null: it comes, or need not. */
    overdue(tile: TileView, source: Heeded): number | null {
        const since = this.#since.get(key(tile.member, source));
        const shown = source === "audio" ? tile.audio : picture(tile, source);
        if (since === undefined || !shown || !this.#waitedFor(tile, source, shown)) return null;
        const waited = this.#ports.now() - since;
        // A screen on which nothing moves is sent once a second, or hardly.
        return waited >= (source === "screen" && shown.opened ? STILL_MS : OVERDUE_MS) ? Math.round(waited / 1000) : null;
    }

    start(): void {
        this.#timer ??= setInterval(() => this.look(), OVERDUE_LOOK_MS);
    }

    close(): void {
        clearInterval(this.#timer);
    }

    look(): void {
        const before = this.#since;
        const now = this.#ports.now();
        this.#since = new Map();
        for (const tile of this.all()) {
            for (const source of ["audio", "camera", "screen"] as const) {
                const shown = source === "audio" ? tile.audio : picture(tile, source);
                const name = key(tile.member, source);
                if (shown && this.#waitedFor(tile, source, shown)) this.#since.set(name, before.get(name) ?? now);
            }
        }
        if (before.size + this.#since.size > 0) this.#ports.changed();
    }

    /** It is on, has a place, is asked for, and our network is said to carry it; and nothing is there. */
    #waitedFor(tile: TileView, source: Heeded, shown: Shown): boolean {
        if (shown.verdict !== "none" || shown.receiver === null || shown.loudest) return false;
        if (source === "audio") return !tile.muted.audio;
        const muted = source === "camera" && tile.muted.video;
        return !muted && shown.layer?.encoding !== null && this.#ports.looked({ member: tile.member, source });
    }
}

function key(member: number, source: Heeded): string {
    return source === "audio" ? `${member}/audio` : spotKey({ member, source });
}
