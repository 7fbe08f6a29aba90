// Tickets of a conference as they pass through its room: found, asked for, and given to those who ask.

import type { MatrixClient, MatrixEvent, Room } from "matrix-js-sdk";
import { count } from "../guard.ts";
import { parseTicket, parseTicketRequest, ticketContent, type Conference, type Ticket } from "../protocol/events.ts";
import { CLOCK_SKEW_MS, HISTORY_PAGES, HISTORY_PAGE_EVENTS, TICKET_ANSWER_MS, TICKET_DOUBT_MS, TICKET_PATIENCE_MS, TICKET_PAUSE_MS, TICKET_RANK_MS } from "../protocol/limits.ts";
import { EVENT } from "../protocol/names.ts";
import { listen, read, type Incoming } from "./inbox.ts";
import { isEncrypted } from "./rooms.ts";
import { politely } from "./send.ts";

interface Candidate {
    ticket: Ticket;
    sender: string;
    ts: number;
}

/** The tickets that members of the room sent for one conference. Anyone in the room may have sent a false one. */
export class TicketBox {
    readonly #client: MatrixClient;
    readonly #room: Room;
    readonly #conference: Conference;
    readonly #stop: () => void;
    #candidates: Candidate[] = [];
    #refused = new Set<string>();
    #arrived: () => void = () => undefined;
    #searched: Promise<void> | null = null;
    #asked: Promise<void> | null = null;

    constructor(client: MatrixClient, room: Room, conference: Conference) {
        this.#client = client;
        this.#room = room;
        this.#conference = conference;
        this.#stop = listen(client, room.roomId, (event) => this.#take(event));
    }

    /** The best ticket not refused yet: of the newest epoch the creator's own, otherwise the newest. */
    get best(): Ticket | null {
        const usable = this.#candidates.filter(({ ticket }) => !this.#refused.has(secretOf(ticket)));
        const rank = (candidate: Candidate) => (candidate.sender === this.#conference.creator ? 1e15 : 0) + candidate.ts;
        return usable.sort((a, b) => b.ticket.epoch - a.ticket.epoch || rank(b) - rank(a))[0]?.ticket ?? null;
    }

    refuse(ticket: Ticket): void {
        this.#refused.add(secretOf(ticket));
    }

    /**
     * Looks through the room's history, then asks those present. null: nobody gave one, or `isOver`, asked when the
     * answer is late, says that nobody can.
     */
    async find(canReadHistory: boolean, isOver: () => Promise<boolean> = async () => false): Promise<Ticket | null> {
        await (this.#searched ??= this.#search());
        if (this.best) return this.best;
        // A device that existed when the ticket was sent may still be decrypting it; a new one never will.
        if (canReadHistory && (await this.#within(TICKET_PATIENCE_MS))) return this.best;
        await (this.#asked ??= this.#ask());
        if (await this.#within(TICKET_DOUBT_MS)) return this.best;
        const answered = this.#within(TICKET_ANSWER_MS - TICKET_DOUBT_MS);
        const over = isOver().then((is) => (is ? false : answered));
        await Promise.race([answered, over]);
        this.#asked = null;
        return this.best;
    }

    close(): void {
        this.#stop();
    }

    async #search(): Promise<void> {
        // Nothing older than the conference can be its ticket (its creator's clock is allowed a minute).
        const since = this.#conference.createdTs - CLOCK_SKEW_MS;
        const seen = new Set<MatrixEvent>();
        for (let page = 0; page <= HISTORY_PAGES; page++) {
            const events = this.#room.getLiveTimeline().getEvents();
            // The newest first: opening one that cannot be opened takes its time.
            for (const event of [...events].reverse()) {
                if (seen.has(event) || event.getTs() < since) continue;
                seen.add(event);
                await this.#client.decryptEventIfNeeded(event).catch(() => undefined);
                const incoming = read(event);
                if (incoming) this.#take(incoming);
                if (this.best) return;
            }
            const [oldest, before] = [events[0], events.length];
            if (!oldest || oldest.getTs() < since || page === HISTORY_PAGES) return;
            await this.#client.scrollback(this.#room, HISTORY_PAGE_EVENTS).catch(() => undefined);
            if (this.#room.getLiveTimeline().getEvents().length === before) return;
        }
    }

    async #ask(): Promise<void> {
        await requestTicket(this.#client, this.#room, this.#conference);
    }

    #within(ms: number): Promise<boolean> {
        return new Promise((resolve) => {
            const timer = setTimeout(() => resolve(this.best !== null), ms);
            this.#arrived = () => {
                clearTimeout(timer);
                resolve(true);
            };
            if (this.best) this.#arrived();
        });
    }

    #take(event: Incoming): void {
        const ticket = ticketOf(this.#room, this.#conference, event);
        if (ticket === null) return;
        if (this.#candidates.length >= 64) this.#candidates.shift();
        this.#candidates.push({ ticket, sender: event.sender, ts: event.ts });
        if (this.best) this.#arrived();
    }
}

/** The ticket in an event of the room; null: none, or none that counts. */
export function ticketOf(room: Room, conference: Conference, event: Incoming): Ticket | null {
    if (event.type !== EVENT.ticket) return null;
    if (event.senderKey === null) {
        count("ticket in clear");
        return null;
    }
    if (room.getMember(event.sender)?.membership !== "join") return null;
    const ticket = parseTicketSafely(event.content);
    return ticket?.conferenceId === conference.conferenceId && ticket.creator === conference.creator ? ticket : null;
}

export async function requestTicket(client: MatrixClient, room: Room, conference: Conference): Promise<void> {
    const content = { conference_id: conference.conferenceId, device_id: client.getDeviceId() ?? "" };
    await politely(() => client.sendEvent(room.roomId, EVENT.ticketRequest, content));
}

export async function sendTicket(client: MatrixClient, room: Room, ticket: Ticket): Promise<void> {
    if (!isEncrypted(room)) throw new Error("room not encrypted");
    await politely(() => client.sendEvent(room.roomId, EVENT.ticket, ticketContent(ticket)));
}

/**
 * Gives the ticket of our conference to those of the room who ask. `rank` is our place among the members present, by
 * number, or -1 while it is not ours to answer; the first answers at once, each next one 3 s later unless somebody did.
 */
export function serveTickets(client: MatrixClient, room: Room, conference: Conference, ticket: () => Ticket, rank: () => number): (event: Incoming) => void {
    let waiting: ReturnType<typeof setTimeout> | null = null;
    let last = -Infinity;
    return (event) => {
        if (event.type === EVENT.ticket && event.senderKey !== null) {
            if (parseTicketSafely(event.content)?.conferenceId !== conference.conferenceId || waiting === null) return;
            clearTimeout(waiting);
            waiting = null;
        }
        if (event.type !== EVENT.ticketRequest || event.senderKey === null || waiting !== null) return;
        if (parseTicketRequest(event.content).conferenceId !== conference.conferenceId) return;
        if (room.getMember(event.sender)?.membership !== "join") return;
        const turn = TICKET_RANK_MS * Math.max(0, rank());
        waiting = setTimeout(() => {
            waiting = null;
            last = Date.now();
            if (rank() >= 0) sendTicket(client, room, ticket()).catch(() => count("ticket not sent"));
        }, Math.max(turn, last + TICKET_PAUSE_MS - Date.now()));
    };
}

function parseTicketSafely(content: unknown): Ticket | null {
    try {
        return parseTicket(content);
    } catch {
        count("ticket malformed");
        return null;
    }
}

function secretOf(ticket: Ticket): string {
    return `${ticket.epoch}:${ticket.secret.join()}`;
}
