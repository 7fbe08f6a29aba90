// The way into a conference: one that runs in the room with a ticket for it, or a new one.

import { RoomStateEvent, type MatrixClient, type Room } from "matrix-js-sdk";
import { randomBytes, randomName } from "../bytes.ts";
import { announce, isInterrupted, runningConferences, standing } from "../matrix/announcements.ts";
import { sendTicket, TicketBox } from "../matrix/tickets.ts";
import { sameConference, terms, type Conference, type Intent, type Ticket } from "../protocol/events.ts";
import { CARRIED_AGAIN_MS, TICKET_ROUNDS } from "../protocol/limits.ts";
import { prove, ticketKey } from "../ticket.ts";

export interface Pass {
    conference: Conference;
    ticket: Ticket;
}

/** What a person wants: one of those that run (null: the active one), or a new one of these terms. */
export interface Wish {
    conference: Conference | null;
    /** Begin one, whatever runs. */
    another: boolean;
    intent: Intent;
    members: number | null;
}

export const ANY: Wish = { conference: null, another: false, intent: "video", members: null };

export interface AdmissionOptions {
    client: MatrixClient;
    room: Room;
    focus: string;
    /** Of the focus, for everybody; null: not known. */
    url: string | null;
    canReadHistory: boolean;
}

/** An announcement that has not come back to us by now is not waited for, ms. */
const ECHO_MS = 5000;

export class Admission {
    wish: Wish = ANY;
    readonly #client: MatrixClient;
    readonly #room: Room;
    readonly #options: AdmissionOptions;
    /** Conferences that turned out to be over. */
    #dead = new Set<string>();
    #box: { conference: Conference; tickets: TicketBox } | null = null;
    #own: Pass | null = null;

    constructor(options: AdmissionOptions) {
        this.#client = options.client;
        this.#room = options.room;
        this.#options = options;
    }

    /** The conferences that run in the room, as far as we know them to be alive; the active one first. */
    get running(): Conference[] {
        return runningConferences(this.#room).filter((one) => one.focus === this.#options.focus && !this.#dead.has(one.conferenceId));
    }

    /** The one that "join" means: what was chosen while it runs, otherwise the active one; null: a new one. */
    get chosen(): Conference | null {
        if (this.wish.another) return null;
        const { running } = this;
        return running.find((one) => sameConference(one, this.wish.conference)) ?? running[0] ?? null;
    }

    /** Begins to look for the ticket before the person has pressed "join". */
    prepare(): void {
        const conference = this.chosen;
        if (conference) void this.#tickets(conference).find(this.#options.canReadHistory).catch(() => undefined);
    }

    /** A way in. `say` is told what is being done; `isOver` asks the focus whether it knows a conference. */
    async find(say: (status: string) => void, isOver: (conference: Conference) => Promise<boolean>): Promise<Pass> {
        // The room may not have shown us yet what we began.
        if (this.#own && sameConference(this.#own.conference, this.wish.conference)) return this.#own;
        const conference = this.chosen ?? (await this.#carriedOn(say));
        if (!conference) return this.#start(say, isOver);
        // It is held to even if somebody begins another meanwhile.
        this.wish = { ...this.wish, conference };
        say("Looking for the ticket to the running conference");
        let over = false;
        for (let round = 0; round < TICKET_ROUNDS && !over; round++) {
            const search = this.#tickets(conference).find(this.#options.canReadHistory, async () => (over = await isOver(conference)));
            const ticket = await this.#whileRunning(conference, search);
            if (ticket) return { conference, ticket };
            if (!this.#runs(conference)) return this.find(say, isOver);
            // A slow answer is no reason to begin a second conference beside the first.
            say("Waiting for somebody inside to send the ticket");
        }
        // Nobody inside answers, so nobody is inside.
        this.#dead.add(conference.conferenceId);
        return this.find(say, isOver);
    }

    ticketRefused(pass: Pass): void {
        if (this.#box && sameConference(this.#box.conference, pass.conference)) this.#box.tickets.refuse(pass.ticket);
        if (this.#own?.ticket === pass.ticket) this.#own = null;
    }

    conferenceOver(pass: Pass): void {
        this.#dead.add(pass.conference.conferenceId);
    }

    /** The conference we announced could not be joined, so there is none. */
    async withdraw(pass: Pass): Promise<void> {
        if (this.#own !== pass) return;
        this.#own = null;
        this.#dead.add(pass.conference.conferenceId);
        await announce(this.#client, this.#room.roomId, null);
    }

    close(): void {
        this.#box?.tickets.close();
        this.#box = null;
    }

    async #start(say: (status: string) => void, isOver: (conference: Conference) => Promise<boolean>): Promise<Pass> {
        const { another, intent, members } = this.wish;
        say(another ? "Starting another conference in this room" : "Starting a conference in this room");
        const { focus, url } = this.#options;
        const creator = this.#client.getSafeUserId();
        const createdTs = Math.max(Date.now(), (runningConferences(this.#room)[0]?.createdTs ?? 0) + 1);
        const conference: Conference = { conferenceId: randomName(), creator, focus, url, intent, members, createdTs };
        const ticket = { conferenceId: conference.conferenceId, creator, epoch: 0, secret: randomBytes(32) };
        const others = another ? null : this.#watchRivals(conference);
        await announce(this.#client, this.#room.roomId, conference);
        const rival = await others;
        if (rival) {
            // Two pressed "join" at once. The one whose announcement the room saw first keeps it.
            this.#dead.add(conference.conferenceId);
            await announce(this.#client, this.#room.roomId, null);
            return this.find(say, isOver);
        }
        await sendTicket(this.#client, this.#room, ticket);
        // What is tried again after a failure is this one, and no third.
        this.wish = { ...this.wish, conference, another: false };
        return (this.#own = { conference, ticket });
    }

    /** Where a dead man's switch has just ended what runs here, those inside have time to say that it goes on. */
    async #carriedOn(say: (status: string) => void): Promise<Conference | null> {
        const until = Date.now() + CARRIED_AGAIN_MS;
        for (let left; !this.wish.another && !this.chosen && (left = until - Date.now()) > 0 && isInterrupted(this.#room); ) {
            say("Waiting for those inside to announce the conference again");
            await this.#roomChanges(left);
        }
        return this.chosen;
    }

    #roomChanges(withinMs: number): Promise<void> {
        return new Promise((resolve) => {
            const finish = () => {
                clearTimeout(timer);
                this.#client.off(RoomStateEvent.Update, finish);
                resolve();
            };
            const timer = setTimeout(finish, withinMs);
            this.#client.on(RoomStateEvent.Update, finish);
        });
    }

    #runs(conference: Conference): boolean {
        return this.running.some((one) => sameConference(one, conference));
    }

    /** What `search` finds; null as soon as the room has moved on to another conference. */
    async #whileRunning(conference: Conference, search: Promise<Ticket | null>): Promise<Ticket | null> {
        let check: () => void = () => undefined;
        const moved = new Promise<null>((resolve) => {
            check = () => {
                if (!this.#runs(conference)) resolve(null);
            };
        });
        this.#client.on(RoomStateEvent.Update, check);
        try {
            return await Promise.race([search, moved]);
        } finally {
            this.#client.off(RoomStateEvent.Update, check);
        }
    }

    /** A living conference that the room's order of events puts before ours; null when ours came first. */
    #watchRivals(own: Conference): Promise<Conference | null> {
        return new Promise((resolve) => {
            const finish = (before: Conference | null) => {
                clearTimeout(timer);
                this.#client.off(RoomStateEvent.Update, check);
                resolve(before);
            };
            const check = () => {
                const { arrived, before } = standing(this.#room, own);
                if (arrived) finish(before.find((one) => !this.#dead.has(one.conferenceId) && one.focus === own.focus) ?? null);
            };
            const timer = setTimeout(() => finish(null), ECHO_MS);
            this.#client.on(RoomStateEvent.Update, check);
        });
    }

    #tickets(conference: Conference): TicketBox {
        if (!this.#box || !sameConference(this.#box.conference, conference)) {
            this.#box?.tickets.close();
            this.#box = { conference, tickets: new TicketBox(this.#client, this.#room, conference) };
        }
        return this.#box.tickets;
    }
}

/** The `join` object of an invite; in the creator's with what opens the conference, unless it is only a question. */
export async function joinContent(pass: Pass, userId: string, deviceId: string, callId: string, asking = false): Promise<Record<string, unknown>> {
    const { conference, ticket } = pass;
    const key = await ticketKey(ticket);
    const { conferenceId, creator } = conference;
    const ts = Date.now();
    const proof = await prove(key, { conferenceId, creator, epoch: ticket.epoch, userId, deviceId, callId, ts });
    return {
        conference_id: conferenceId,
        creator,
        epoch: ticket.epoch,
        device_id: deviceId,
        ts,
        proof,
        ...(creator === userId && !asking ? { open: { verifier: key.verifier, ...terms(conference) } } : {}),
    };
}
