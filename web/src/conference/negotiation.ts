// Offers after the first, over the data channel: more slots when more members come.

import type { Peer } from "../call/peer.ts";
import type { StreamMetadata } from "../matrix/focuscall.ts";
import { count } from "../guard.ts";
import { Trouble } from "../protocol/errors.ts";
import type { Failure } from "../protocol/messages.ts";
import { MESSAGE } from "../protocol/names.ts";
import { pairsToAdd } from "./slots.ts";

const ANSWER_MS = 10000;

export class Negotiation {
    readonly #peer: Peer;
    readonly #send: (message: object) => boolean;
    readonly #metadata: () => StreamMetadata;
    #answered: ((result: { answer: string } | { error: Failure }) => void) | null = null;
    #growing = false;

    constructor(peer: Peer, send: (message: object) => boolean, metadata: () => StreamMetadata) {
        this.#peer = peer;
        this.#send = send;
        this.#metadata = metadata;
    }

    /** Adds slots while `others()` are more than there are; a refusal leaves things as they are. */
    async growFor(others: () => number): Promise<void> {
        if (this.#growing) return;
        this.#growing = true;
        try {
            for (let pairs = 0; (pairs = pairsToAdd(others(), this.#peer.slotPairs)) > 0; ) {
                await this.#peer.grow(pairs, (sdp) => this.#exchange(sdp));
            }
        } catch {
            count("more slots refused");
        } finally {
            this.#growing = false;
        }
    }

    arrived(result: { answer: string } | { error: Failure }): void {
        this.#answered?.(result);
    }

    #exchange(sdp: string): Promise<string> {
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(new Error("no answer")), ANSWER_MS);
            this.#answered = (result) => {
                clearTimeout(timer);
                this.#answered = null;
                if ("answer" in result) resolve(result.answer);
                else reject(new Trouble(result.error.code, result.error.message));
            };
            const content = { description: { type: "offer", sdp }, sdp_stream_metadata: this.#metadata() };
            this.#send({ type: MESSAGE.negotiate, content });
        });
    }
}
