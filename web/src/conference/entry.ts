// From "join" to the focus's answer: a way in, the direct chat, the call, and again where the first was not right.

import type { MatrixClient } from "matrix-js-sdk";
import { randomBytes, randomName } from "../bytes.ts";
import { directRoom } from "../matrix/dm.ts";
import { FocusCall, type StreamMetadata } from "../matrix/focuscall.ts";
import type { Answer, Conference } from "../protocol/events.ts";
import { Trouble } from "../protocol/errors.ts";
import { CLOCK_HOPELESS_MS, CONFERENCE_YOUNG_MS } from "../protocol/limits.ts";
import { joinContent, type Admission, type Pass } from "./admission.ts";

/** The focus may learn of a conference a moment after its members: how often and how long apart we ask again. */
const UNKNOWN_RETRIES = 2;
const UNKNOWN_RETRY_MS = 1500;

/** So often is a ticket of an earlier epoch given up for another. */
const EXPIRED_RETRIES = 2;

export interface EntryPorts {
    client: MatrixClient;
    focus: string;
    admission: Admission;
    /** What is being done, in words. */
    say(phase: "admission" | "calling", status: string): void;
    offer(): Promise<string>;
    metadata(): StreamMetadata;
    /** A call with this pass is about to be made. */
    trying(pass: Pass): void;
}

export interface Entered {
    call: FocusCall;
    answer: Answer;
    pass: Pass;
}

export class Entry {
    readonly #ports: EntryPorts;
    /** The pass last tried, and the call it is tried with. */
    pass: Pass | null = null;
    /** What came of it: a call that was answered. */
    entered: Entered | null = null;
    #call: FocusCall | null = null;
    #prepared: Promise<[string, string]> | null = null;
    #cancelled = false;
    #expired = 0;

    constructor(ports: EntryPorts) {
        this.#ports = ports;
    }

    async enter(): Promise<Entered> {
        const { client, focus, say } = this.#ports;
        say("admission", "Finding the conference");
        // The direct chat and our offer are made while the way in is looked for.
        this.#prepared = Promise.all([directRoom(client, focus), this.#ports.offer()]);
        const [[dm, sdp], first] = await Promise.all([this.#prepared, this.#find()]);
        let pass = first;
        for (let unknown = 0; ; ) {
            if (this.#cancelled) {
                await this.#ports.admission.withdraw(pass);
                throw new Trouble("left");
            }
            this.pass = pass;
            try {
                return (this.entered = await this.#attempt(dm, sdp, pass));
            } catch (error) {
                if (!(error instanceof Trouble) || this.#cancelled) throw error;
                if (!(await this.#anotherWay(error, pass, unknown))) throw error;
                if (error.code === "conference_unknown") unknown++;
                pass = await this.#find();
            }
        }
    }

    /** Of the latest call, whether or not it was answered. */
    get callId(): string | null {
        return this.#call?.callId ?? null;
    }

    /** Through the direct chat: the person left, perhaps before there was an answer. */
    async hangup(reason: string): Promise<void> {
        if (!this.entered) this.#cancelled = true;
        await this.#call?.hangup(reason);
    }

    /** Through the direct chat: a new offer of the call that was answered. */
    async negotiate(offer: string): Promise<string> {
        if (!this.entered) throw new Trouble("connection_lost");
        return this.entered.call.negotiate(offer, this.#ports.metadata());
    }

    close(): void {
        this.entered?.call.close();
    }

    async #attempt(dm: string, sdp: string, pass: Pass): Promise<Entered> {
        const { client, focus, say, metadata, trying } = this.#ports;
        say("calling", "Calling the conference server");
        trying(pass);
        const call = new FocusCall(client, dm, focus, randomName());
        this.#call = call;
        try {
            const join = await joinContent(pass, client.getSafeUserId(), client.getDeviceId() ?? "", call.callId);
            return { call, answer: await call.invite({ sdp, metadata: metadata(), join }), pass };
        } catch (error) {
            call.close();
            throw error;
        }
    }

    /** True when it is worth trying again, with whatever pass is found next. */
    async #anotherWay(error: Trouble, pass: Pass, unknown: number): Promise<boolean> {
        const { admission, client } = this.#ports;
        const older = error.code === "ticket_expired" && error.clockOff < CLOCK_HOPELESS_MS;
        if (error.code === "ticket_invalid" || (older && this.#expired++ < EXPIRED_RETRIES)) {
            admission.ticketRefused(pass);
            return true;
        }
        if (error.code !== "conference_unknown" || pass.conference.creator === client.getUserId()) return false;
        // Its creator's own call may still be on the way; otherwise nobody is in it any more.
        const young = Date.now() - pass.conference.createdTs < CONFERENCE_YOUNG_MS;
        if (!young || unknown >= UNKNOWN_RETRIES) admission.conferenceOver(pass);
        else await new Promise((resolve) => setTimeout(resolve, UNKNOWN_RETRY_MS));
        return true;
    }

    #find(): Promise<Pass> {
        return this.#ports.admission.find(
            (status) => this.#ports.say("admission", status),
            (conference) => this.#isOver(conference),
        );
    }

    /** Calls with a ticket that cannot be right: a focus that knows the conference says so, one that does not says that. */
    async #isOver(conference: Conference): Promise<boolean> {
        if (Date.now() - conference.createdTs < CONFERENCE_YOUNG_MS) return false;
        const { client, focus, metadata } = this.#ports;
        const [dm, sdp] = await this.#prepared!;
        const call = new FocusCall(client, dm, focus, randomName());
        try {
            const blank = { conference, ticket: { ...conference, epoch: 0, secret: randomBytes(32) } };
            const join = await joinContent(blank, client.getSafeUserId(), client.getDeviceId() ?? "", call.callId, true);
            await call.invite({ sdp, metadata: metadata(), join });
            await call.hangup("user_hangup");
            return false;
        } catch (error) {
            return error instanceof Trouble && error.code === "conference_unknown";
        } finally {
            call.close();
        }
    }
}
