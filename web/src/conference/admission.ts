// The way into a conference: the one that runs in the room with a ticket for it, or a new one.

import { RoomStateEvent, type MatrixClient, type Room } from "matrix-js-sdk";
import { randomBytes, randomName } from "../bytes.ts";
import { activeConference, announce, standing } from "../matrix/announce.ts";
import { sendTicket, TicketBox } from "../matrix/tickets.ts";
import type { Conference, Ticket } from "../protocol/events.ts";
import { TICKET_ROUNDS } from "../protocol/limits.ts";
import { prove, ticketKey } from "../ticket.ts";

export interface Pass {
    conference: Conference;
    ticket: Ticket;
}

/** An announcement that has not come back to us by now is not waited for, ms. */
const ECHO_MS = 5000;

export class Admission {
    readonly #client: MatrixClient;
    readonly #room: Room;
    readonly #focus: string;
    readonly #canReadHistory: boolean;
    /** Conferences that turned out to be over. */
    #dead = new Set<string>();
    #box: { id: string; tickets: TicketBox } | null = null;
    #own: Pass | null = null;

    constructor(client: MatrixClient, room: Room, focus: string, canReadHistory: boolean) {
        this.#client = client;
        this.#room = room;
        this.#focus = focus;
        this.#canReadHistory = canReadHistory;
    }

    /** The conference that runs in the room, as far as we know it to be alive. */
    get running(): Conference | null {
        const conference = activeConference(this.#room);
        return conference && !this.#dead.has(conference.conferenceId) && conference.focus === this.#focus ? conference : null;
    }

    /** Begins to look for the ticket before the person has pressed "join". */
    prepare(): void {
        const conference = this.running;
        if (conference) void this.#tickets(conference).find(this.#canReadHistory).catch(() => undefined);
    }

    /** A way in. `say` is told what is being done; `isOver` asks the focus whether it knows a conference. */
    async find(say: (status: string) => void, isOver: (conference: Conference) => Promise<boolean>): Promise<Pass> {
        const conference = this.running;
        if (!conference) return this.#start(say, isOver);
        if (this.#own?.conference.conferenceId === conference.conferenceId) return this.#own;
        say("Looking for the ticket to the running conference");
        let over = false;
        for (let round = 0; round < TICKET_ROUNDS && !over; round++) {
            const search = this.#tickets(conference).find(this.#canReadHistory, async () => (over = await isOver(conference)));
            const ticket = await this.#whileRunning(conference, search);
            if (ticket) return { conference, ticket };
            if (!this.#runs(conference)) return this.find(say, isOver);
            // A slow answer is no reason to begin a second conference beside the first.
            say("Waiting for somebody inside to send the ticket");
        }
        // Nobody inside answers, so nobody is inside.
        this.#dead.add(conference.conferenceId);
        return this.#start(say, isOver);
    }

    ticketRefused(pass: Pass): void {
        if (this.#box?.id === pass.conference.conferenceId) this.#box.tickets.refuse(pass.ticket);
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
        say("Starting a conference in this room");
        const creator = this.#client.getSafeUserId();
        const createdTs = Math.max(Date.now(), (activeConference(this.#room)?.createdTs ?? 0) + 1);
        const conference = { conferenceId: randomName(), creator, focus: this.#focus, createdTs };
        const ticket = { conferenceId: conference.conferenceId, creator, epoch: 0, secret: randomBytes(32) };
        const others = this.#watchRivals(conference);
        await announce(this.#client, this.#room.roomId, conference);
        const rival = await others;
        if (rival) {
            // Two pressed "join" at once. The one whose announcement the room saw first keeps it.
            this.#dead.add(conference.conferenceId);
            await announce(this.#client, this.#room.roomId, null);
            return this.find(say, isOver);
        }
        await sendTicket(this.#client, this.#room, ticket);
        return (this.#own = { conference, ticket });
    }

    #runs(conference: Conference): boolean {
        return this.running?.conferenceId === conference.conferenceId;
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
                resolve(before && !this.#dead.has(before.conferenceId) && before.focus === own.focus ? before : null);
            };
            const check = () => {
                const { arrived, before } = standing(this.#room, own);
                if (arrived) finish(before);
            };
            const timer = setTimeout(() => finish(null), ECHO_MS);
            this.#client.on(RoomStateEvent.Update, check);
        });
    }

    #tickets(conference: Conference): TicketBox {
        if (this.#box?.id !== conference.conferenceId) {
            this.#box?.tickets.close();
            this.#box = { id: conference.conferenceId, tickets: new TicketBox(this.#client, this.#room, conference) };
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
        ...(creator === userId && !asking ? { open: { verifier: key.verifier, intent: "video" } } : {}),
    };
}
