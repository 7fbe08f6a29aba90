// Keeps the conference that we are in announced: ours, or one whose announcer is gone (docs/protocol.md 1).

import { count } from "../guard.ts";
import { CARRIED_ON_MS, CARRY_ON_MS, TICKET_RANK_MS } from "../protocol/limits.ts";
import type { DeadManSwitch } from "./deadman.ts";

export interface AnnouncingPorts {
    me: string;
    /** People in the room who announce this conference. */
    announcers(): ReadonlySet<string>;
    /** We announce another one, from another device: nobody has two. */
    engaged(): boolean;
    /** User ids of those inside, by member number; other devices of ours too, this one not. */
    others(): string[];
    /** Our place among the members present, by number; -1: we are not inside. */
    rank(): number;
    /** We answer for it: inside, or about to be in what we began. */
    ours(): boolean;
    announce(): Promise<void>;
    /** What we announce. */
    end(): Promise<void>;
    deadman: DeadManSwitch;
}

export class Announcing {
    readonly #ports: AnnouncingPorts;
    #missedAt: number | null = null;
    #timer: ReturnType<typeof setTimeout> | undefined;
    #busy = false;
    #over = false;
    /** Waits on the way out for somebody else to announce it. */
    #left: (() => void) | null = null;

    constructor(ports: AnnouncingPorts) {
        this.#ports = ports;
    }

    /** It would end without us. */
    get secured(): boolean {
        return this.#ports.deadman.set;
    }

    /** The room's announcements or the roster have changed. */
    look(): void {
        this.#left?.();
        if (this.#over) return;
        const { announcers, me, others, rank, ours, engaged, deadman } = this.#ports;
        const all = announcers();
        if (all.has(me)) {
            this.#found();
            if (ours()) deadman.arm();
            return;
        }
        if (deadman.armed) void deadman.disarm();
        if (rank() < 0 || engaged() || others().some((user) => all.has(user))) return this.#found();
        this.#missedAt ??= Date.now();
        const due = this.#missedAt + CARRY_ON_MS + TICKET_RANK_MS * rank();
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => void this.#carryOn(), Math.max(0, due - Date.now()));
    }

    /** After the others were told that we go. The last ends what we announce; others carry it on. */
    async leave(): Promise<void> {
        const { announcers, me, others, end, deadman } = this.#ports;
        const ours = announcers().has(me);
        const [remaining, elsewhere] = [others(), others().filter((user) => user !== me)];
        this.#stop();
        // Another device of ours that is inside has a switch of its own.
        if (!ours || (remaining.length > 0 && elsewhere.length === 0)) return deadman.disarm();
        if (remaining.length === 0 || (await this.#carriedOn())) {
            await deadman.disarm();
            await end();
        } else {
            // Newcomers must find the conference; whoever is inside has the switch's time to announce it.
            deadman.abandon();
        }
    }

    /** The page goes away: what can be done with one request. */
    goAway(): void {
        if (this.#over) return;
        const last = this.#ports.others().length === 0;
        this.#stop();
        if (last) this.#ports.deadman.release();
        else this.#ports.deadman.abandon();
    }

    /** We did not get in: whoever is inside sees to it. */
    giveUp(): void {
        this.#stop();
        void this.#ports.deadman.disarm();
    }

    /** We were inside, and nothing can be said any more: the homeserver ends it in its own time. */
    stop(): void {
        this.#stop();
        this.#ports.deadman.abandon();
    }

    #stop(): void {
        this.#over = true;
        clearTimeout(this.#timer);
    }

    #found(): void {
        this.#missedAt = null;
        clearTimeout(this.#timer);
    }

    async #carryOn(): Promise<void> {
        if (this.#busy || this.#over) return;
        this.#busy = true;
        try {
            await this.#ports.announce();
        } catch {
            count("announcement not sent");
        } finally {
            this.#busy = false;
            // Until the room shows it, it is missing; when it could not be sent, it is tried again.
            this.#missedAt = Date.now();
            this.look();
        }
    }

    /** Whether somebody else announces it, now or in a moment. */
    #carriedOn(): Promise<boolean> {
        const { announcers, me } = this.#ports;
        return new Promise((resolve) => {
            const check = (late: boolean) => {
                const found = [...announcers()].some((user) => user !== me);
                if (!found && !late) return;
                clearTimeout(timer);
                this.#left = null;
                resolve(found);
            };
            const timer = setTimeout(() => check(true), CARRIED_ON_MS);
            this.#left = () => check(false);
            check(false);
        });
    }
}
