// The ticket epochs of a membership: newer tickets of the room are proved to the focus, and after a leave a new one is made.

import type { MatrixClient, Room } from "matrix-js-sdk";
import { randomBytes } from "../bytes.ts";
import { count } from "../guard.ts";
import type { Incoming } from "../matrix/inbox.ts";
import { requestTicket, sendTicket, ticketOf } from "../matrix/tickets.ts";
import type { Ticket } from "../protocol/events.ts";
import { EPOCHS_AHEAD, EPOCH_PAUSE_MS, TICKETS_KEPT, TICKET_RANK_MS } from "../protocol/limits.ts";
import type { EpochState } from "../protocol/messages.ts";
import { MESSAGE } from "../protocol/names.ts";
import { proveEpoch, ticketKey } from "../ticket.ts";
import type { Pass } from "./admission.ts";

export interface EpochPorts {
    /** Our place among the members present, by number; -1 before we are in. */
    rank(): number;
    /** Of the call that brought us in. */
    callId(): string;
    send(message: object): boolean;
}

export class Epochs {
    readonly #client: MatrixClient;
    readonly #room: Room;
    readonly #pass: Pass;
    readonly #ports: EpochPorts;
    /** Tickets by their name: which of them becomes current the focus says. */
    #known = new Map<string, Ticket>();
    #current: Ticket;
    #epoch: number;
    /** Of the current epoch, and whether we have proved it. */
    #name = "";
    #proved = false;
    #highest: number;
    #timer: ReturnType<typeof setTimeout> | null = null;
    #lastMade = -Infinity;

    constructor(client: MatrixClient, room: Room, pass: Pass, ports: EpochPorts) {
        this.#client = client;
        this.#room = room;
        this.#pass = pass;
        this.#ports = ports;
        this.#current = pass.ticket;
        this.#epoch = this.#highest = pass.ticket.epoch;
        ticketKey(pass.ticket).then(({ verifier }) => this.#remember(pass.ticket, verifier), () => count("ticket unusable"));
    }

    /** What those who ask are given. */
    get ticket(): Ticket {
        return this.#current;
    }

    /** An event of the conference room. */
    take(event: Incoming): void {
        const ticket = ticketOf(this.#room, this.#pass.conference, event);
        if (ticket === null || ticket.epoch < this.#epoch || ticket.epoch > this.#epoch + EPOCHS_AHEAD) return;
        if (ticket.epoch > this.#epoch) this.#quiet();
        this.#highest = Math.max(this.#highest, ticket.epoch);
        void this.#prove(ticket);
    }

    /** What the focus says of the epochs. */
    told({ epoch, verifier, proved, proposed }: EpochState): void {
        this.#epoch = epoch;
        this.#highest = Math.max(this.#highest, epoch);
        this.#name = named(epoch, verifier);
        this.#proved = proved;
        this.#adopt();
        for (const one of proposed) {
            const ticket = this.#known.get(named(one.epoch, one.verifier));
            if (!one.yours && ticket) void this.#prove(ticket);
        }
        if (proved) return;
        const current = this.#known.get(this.#name);
        if (current) void this.#prove(current);
        // It was sent before we could read it.
        else requestTicket(this.#client, this.#room, this.#pass.conference).catch(() => count("ticket not asked for"));
    }

    /** Over this channel the focus has said nothing else: its epoch holds, and we have proved it unless it says more. */
    welcomed({ epoch, verifier }: Pick<EpochState, "epoch" | "verifier">): void {
        this.told({ epoch, verifier, proved: true, proposed: [] });
    }

    /** What was said into a channel that was dead already is said again. */
    reconnected(): void {
        for (const ticket of [...this.#known.values()]) if (ticket.epoch > this.#epoch) void this.#prove(ticket);
    }

    /** Somebody is gone: after our turn, unless somebody else does so first, there is a new epoch. */
    memberLeft(): void {
        if (this.#timer !== null || this.#ports.rank() < 0) return;
        const turn = this.#ports.rank() * TICKET_RANK_MS;
        this.#timer = setTimeout(() => void this.#make(), Math.max(turn, this.#lastMade + EPOCH_PAUSE_MS - Date.now()));
    }

    close(): void {
        this.#quiet();
    }

    #quiet(): void {
        if (this.#timer !== null) clearTimeout(this.#timer);
        this.#timer = null;
    }

    async #make(): Promise<void> {
        this.#timer = null;
        if (this.#ports.rank() < 0) return;
        this.#lastMade = Date.now();
        const { conferenceId, creator } = this.#pass.conference;
        const ticket = { conferenceId, creator, epoch: ++this.#highest, secret: randomBytes(32) };
        try {
            await sendTicket(this.#client, this.#room, ticket);
            await this.#prove(ticket);
        } catch {
            count("ticket not sent");
        }
    }

    async #prove(ticket: Ticket): Promise<void> {
        const key = await ticketKey(ticket);
        this.#remember(ticket, key.verifier);
        // It came again, for somebody who asked.
        if (this.#proved && named(ticket.epoch, key.verifier) === this.#name) return;
        const { conferenceId, creator, epoch } = ticket;
        const [userId, deviceId] = [this.#client.getSafeUserId(), this.#client.getDeviceId() ?? ""];
        const proof = await proveEpoch(key, { conferenceId, creator, epoch, userId, deviceId, callId: this.#ports.callId() });
        this.#ports.send({ type: MESSAGE.prove, content: { epoch, verifier: key.verifier, proof } });
    }

    #remember(ticket: Ticket, verifier: string): void {
        this.#known.set(named(ticket.epoch, verifier), ticket);
        for (const name of this.#known.keys()) {
            if (this.#known.size <= TICKETS_KEPT) break;
            // Who asks is given the current one.
            if (name !== this.#name) this.#known.delete(name);
        }
        this.#adopt();
    }

    /** The focus may name the current one before or after we could read it. */
    #adopt(): void {
        this.#current = this.#known.get(this.#name) ?? this.#current;
    }
}

/** A number alone could be two tickets'. */
function named(epoch: number, verifier: string): string {
    return `${epoch}:${verifier}`;
}
