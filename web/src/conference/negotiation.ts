// Offers after the first, over the data channel: more slots when more members come, a screen of our own.

import type { Peer } from "../call/peer.ts";
import type { ScreenTracks } from "../call/screen.ts";
import type { StreamMetadata } from "../matrix/focuscall.ts";
import { count } from "../guard.ts";
import { Trouble } from "../protocol/errors.ts";
import type { Failure } from "../protocol/messages.ts";
import { MESSAGE } from "../protocol/names.ts";
import { slotsToAdd } from "./slots.ts";

/** Pings tell of a dead channel much sooner; a focus or a page that is merely busy answers late. Shorter: members of whom a busy machine
 * was told stay without a slot; longer: what is asked of a focus that never answers waits. */
const ANSWER_MS = 60000;

export class Negotiation {
    readonly #peer: Peer;
    readonly #send: (message: object) => boolean;
    readonly #metadata: () => StreamMetadata;
    readonly #maxPairs: number;
    #answered: ((result: { answer: string } | { error: Failure }) => void) | null = null;
    /** Ends what waits for an answer. */
    #lost: () => void = () => undefined;
    #growing = false;
    #closed = false;
    /** The focus refused more: it is not asked again for the same. */
    #refusedAt = Infinity;

    constructor(peer: Peer, send: (message: object) => boolean, metadata: () => StreamMetadata, maxPairs: number) {
        this.#peer = peer;
        this.#send = send;
        this.#metadata = metadata;
        this.#maxPairs = maxPairs;
    }

    /** Adds slots while `pictures()` (others and their screens) are more than there are pairs; a refusal leaves things as they are. */
    async growFor(pictures: () => number): Promise<void> {
        if (this.#growing) return;
        this.#growing = true;
        try {
            for (;;) {
                const wanted = pictures();
                const { pairs, loudest } = slotsToAdd(wanted, this.#peer.slotPairs, this.#peer.loudest.length, this.#maxPairs);
                if ((pairs === 0 && loudest === 0) || wanted >= this.#refusedAt) break;
                try {
                    await this.#peer.grow(pairs, loudest, (sdp) => this.#exchange(sdp));
                } catch (error) {
                    count("more slots refused");
                    // Another connection begins with slots of its own.
                    const code = error instanceof Trouble ? error.code : "";
                    if (code === "connection_lost") break;
                    if (code !== "no_answer") this.#refusedAt = wanted;
                }
            }
        } finally {
            this.#growing = false;
        }
    }

    share(tracks: ScreenTracks | null): Promise<void> {
        return this.#peer.share(tracks, (sdp) => this.#exchange(sdp));
    }

    arrived(result: { answer: string } | { error: Failure }): void {
        this.#answered?.(result);
    }

    /** This connection is left: what waits for an answer over it waits no more. */
    close(): void {
        this.#closed = true;
        this.#lost();
    }

    #exchange(sdp: string): Promise<string> {
        return new Promise((resolve, reject) => {
            const fail = (code: string) => {
                clearTimeout(timer);
                this.#answered = null;
                reject(new Trouble(code));
            };
            const timer = setTimeout(() => fail("no_answer"), ANSWER_MS);
            this.#lost = () => fail("connection_lost");
            this.#answered = (result) => {
                clearTimeout(timer);
                this.#answered = null;
                if ("answer" in result) resolve(result.answer);
                else reject(new Trouble(result.error.code, result.error.message));
            };
            const content = { description: { type: "offer", sdp }, sdp_stream_metadata: this.#metadata() };
            if (this.#closed || !this.#send({ type: MESSAGE.negotiate, content })) fail("connection_lost");
        });
    }
}
