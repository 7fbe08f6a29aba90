// The call to the focus: m.call.* version "1" in the direct chat.

import { type EventType, type MatrixClient } from "matrix-js-sdk";
import { randomName } from "../bytes.ts";
import { count } from "../guard.ts";
import { parseAnswer, parseNegotiated, parseRefusal, type Answer } from "../protocol/events.ts";
import { Trouble } from "../protocol/errors.ts";
import { ANSWER_MS, INVITE_LIFETIME_MS, NEGOTIATED_MS } from "../protocol/limits.ts";
import { CALL_VERSION, EVENT, FIELD } from "../protocol/names.ts";
import { listen, type Incoming } from "./inbox.ts";
import { politely } from "./send.ts";

export type StreamMetadata = Record<string, { purpose: string; audio_muted: boolean; video_muted: boolean }>;

export interface Invite {
    sdp: string;
    metadata: StreamMetadata;
    join: Record<string, unknown>;
}

export class FocusCall {
    readonly callId: string;
    /** The focus ended the call. */
    onhangup: (trouble: Trouble) => void = () => undefined;
    readonly #client: MatrixClient;
    readonly #roomId: string;
    readonly #focus: string;
    readonly #stop: () => void;
    #answered: ((answer: Answer | Trouble) => void) | null = null;
    /** The latest offer through the chat that is not answered. */
    #offered: { id: string; answered: (sdp: string) => void } | null = null;
    #ended = false;

    constructor(client: MatrixClient, roomId: string, focus: string, callId: string) {
        this.#client = client;
        this.#roomId = roomId;
        this.#focus = focus;
        this.callId = callId;
        this.#stop = listen(client, roomId, (event) => this.#take(event));
    }

    /** The focus's answer; throws Trouble with its code when it refuses. */
    async invite({ sdp, metadata, join }: Invite): Promise<Answer> {
        const answer = new Promise<Answer>((resolve, reject) => {
            const timer = setTimeout(() => reject(new Trouble("no_answer")), ANSWER_MS);
            this.#answered = (result) => {
                clearTimeout(timer);
                this.#answered = null;
                if (result instanceof Trouble) reject(result);
                else resolve(result);
            };
        });
        answer.catch(() => undefined);
        await this.#send(EVENT.invite, {
            invitee: this.#focus,
            lifetime: INVITE_LIFETIME_MS,
            offer: { type: "offer", sdp },
            sdp_stream_metadata: metadata,
            [FIELD.join]: join,
        });
        return answer;
    }

    /** A new offer where the data channel does not reach the focus; its answer. Throws Trouble when none comes. */
    async negotiate(sdp: string, metadata: StreamMetadata): Promise<string> {
        const id = randomName();
        const answer = new Promise<string>((resolve, reject) => {
            const timer = setTimeout(() => reject(new Trouble("no_answer")), NEGOTIATED_MS);
            const answered = (sdp: string) => {
                clearTimeout(timer);
                this.#offered = null;
                resolve(sdp);
            };
            this.#offered = { id, answered };
        });
        answer.catch(() => undefined);
        await this.#send(EVENT.negotiate, { lifetime: INVITE_LIFETIME_MS, description: { type: "offer", sdp }, sdp_stream_metadata: metadata, [FIELD.offerId]: id });
        return answer;
    }

    /** Picks the answer, and says that no candidates follow: the focus learns our address from our checks. */
    async settle(answer: Answer): Promise<void> {
        await this.#send(EVENT.selectAnswer, { selected_party_id: answer.partyId });
        await this.#send(EVENT.candidates, { candidates: [{ candidate: "", sdpMid: "0", sdpMLineIndex: 0 }] });
    }

    async hangup(reason: string): Promise<void> {
        if (this.#ended) return;
        this.close();
        await this.#send(EVENT.hangup, { reason });
    }

    close(): void {
        this.#ended = true;
        this.#stop();
    }

    #take(event: Incoming): void {
        if (event.sender !== this.#focus || this.#ended) return;
        if (event.type === EVENT.answer) {
            // The direct chat is encrypted; an answer in clear could be anybody's on the way.
            if (event.senderKey === null) return count("answer in clear");
            const answer = parseAnswer(event.content);
            if (answer.callId === this.callId) this.#answered?.(answer);
        } else if (event.type === EVENT.negotiate) {
            if (event.senderKey === null) return count("answer in clear");
            const { callId, offerId, sdp } = parseNegotiated(event.content);
            if (callId !== this.callId) return;
            // An answer may come after its offer was given up, and is none to the next.
            if (offerId === this.#offered?.id) this.#offered.answered(sdp);
            else count("late answer");
        } else if (event.type === EVENT.reject || event.type === EVENT.hangup) {
            const refusal = parseRefusal(event.content);
            if (refusal.callId !== this.callId) return;
            const trouble = new Trouble(refusal.code, refusal.message, Math.abs(Date.now() - event.ts));
            if (this.#answered) this.#answered(trouble);
            else this.onhangup(trouble);
        }
    }

    async #send(type: "m.call.invite" | "m.call.select_answer" | "m.call.negotiate" | "m.call.candidates" | "m.call.hangup", content: object): Promise<void> {
        const full = { call_id: this.callId, party_id: this.#client.getDeviceId() ?? "", version: CALL_VERSION, ...content };
        await politely(() => this.#client.sendEvent(this.#roomId, type as EventType.CallHangup, full as never));
    }
}
