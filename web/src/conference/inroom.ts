// A membership's part in the conference room, from the first call with a pass to the last word of our announcement.

import { count } from "../guard.ts";
import type { Conference as Announced } from "../protocol/events.ts";
import { ANY, type Admission, type Pass, type Wish } from "./admission.ts";
import type { AnnouncingLink } from "./announcinglink.ts";
import { betterPlace } from "./rivals.ts";
import { linkRoom, type RoomLink, type RoomLinkOptions, type RoomLinkPorts } from "./roomlink.ts";

export interface InRoomPorts extends Omit<RoomLinkPorts, "roomChanged"> {
    /** The conference that we are in. */
    own(): Announced | null;
    /** The others are elsewhere: go there. */
    superseded(wish: Wish): void;
}

export class InRoom {
    link: RoomLink | null = null;
    /** We are alone, and the room has a newer conference. */
    elsewhere: Announced | null = null;
    readonly #options: Omit<RoomLinkOptions, "pass">;
    readonly #admission: Admission;
    readonly #ports: InRoomPorts;

    constructor(options: Omit<RoomLinkOptions, "pass">, admission: Admission, ports: InRoomPorts) {
        this.#options = options;
        this.#admission = admission;
        this.#ports = ports;
    }

    /** Listens from before our own joining on, so that nothing is missed. */
    enter(pass: Pass): void {
        this.link?.stop();
        this.#finish(({ announcing }) => announcing.giveUp());
        this.link = linkRoom({ ...this.#options, pass }, { ...this.#ports, roomChanged: () => this.lookAround() });
    }

    joined(): void {
        this.link?.announcement.announcing.look();
        this.lookAround();
    }

    /** Alone in here while the room has moved on to another conference? */
    lookAround(): void {
        const { own, joined, member, superseded, changed } = this.#ports;
        const conference = own();
        if (!joined() || !conference) return;
        const alone = this.#options.roster.others(member() ?? 0).length === 0;
        const better = alone ? betterPlace(conference, this.#admission.running) : null;
        if (better?.atOnce) return superseded(ANY);
        this.elsewhere = better?.conference ?? null;
        changed();
    }

    /** What others carry on is waited for, but not by whoever leaves. `joined`: we were in. */
    leave(joined: boolean, pass: Pass | null): void {
        if (joined) this.#finish(({ announcing }) => announcing.leave());
        else this.#withdraw(pass);
    }

    /** It ended without our doing. */
    fail(joined: boolean, pass: Pass | null): void {
        if (joined) this.#finish(({ announcing }) => announcing.stop());
        else this.#withdraw(pass);
    }

    goAway(): void {
        this.link?.announcement.announcing.goAway();
    }

    close(): void {
        this.link?.stop();
    }

    #withdraw(pass: Pass | null): void {
        this.#finish(({ announcing }) => announcing.giveUp());
        if (pass) this.#admission.withdraw(pass).catch(() => count("announcement not sent"));
    }

    /** Nobody listens to the room's announcements after this. */
    #finish(last: (link: AnnouncingLink) => Promise<void> | void): void {
        const link = this.link?.announcement;
        if (link) void Promise.resolve(last(link)).catch(() => count("announcement not sent")).finally(() => link.stop());
    }
}
