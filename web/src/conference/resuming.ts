// The way back: a second connection of the same member, asked for over HTTP again and again while the first may last
// (docs/protocol.md 3.3).

import { count } from "../guard.ts";
import { Malformed, integer, object, own, text } from "../protocol/check.ts";
import { Trouble } from "../protocol/errors.ts";
import { MAX_MESSAGE_CHARS, RESUME_ANSWER_MS, RESUME_LOST_MS } from "../protocol/limits.ts";
import { failure, type Resume } from "../protocol/messages.ts";
import type { StreamMetadata } from "../matrix/focuscall.ts";

export interface ResumingPorts {
    /** False: the first connection has come back by itself. */
    needed(): boolean;
    /** Since when the first connection carries nothing any more, ms; null: it may. */
    lostSince(): number | null;
    /** One second connection; resolves when this member talks over it. */
    attempt(): Promise<void>;
    /** There is nothing to come back to: join anew. */
    giveUp(): void;
    wait(ms: number): Promise<void>;
    now(): number;
    /** 0 to 1 */
    random(): number;
}

/** No other attempt of this membership can succeed. */
const FINAL = new Set(["resume_unknown", "sdp_unsupported", "sdp_malformed", "message_malformed", "too_large"]);

export class Resuming {
    /** Attempts in a row that came to nothing. */
    failures = 0;
    readonly #ports: ResumingPorts;
    #running = false;
    #closed = false;

    constructor(ports: ResumingPorts) {
        this.#ports = ports;
    }

    get running(): boolean {
        return this.#running;
    }

    /** Resolves when this member is back, or cannot come back. Does nothing while it is at it already. */
    async run(): Promise<void> {
        if (this.#running || this.#closed) return;
        this.#running = true;
        try {
            for (const pause of pauses(this.#ports.random())) {
                await this.#ports.wait(pause);
                if (this.#closed || !this.#ports.needed()) return;
                if (await this.#succeeds()) return;
                this.failures++;
            }
        } finally {
            this.#running = false;
            this.failures = 0;
        }
    }

    close(): void {
        this.#closed = true;
    }

    async #succeeds(): Promise<boolean> {
        try {
            await this.#ports.attempt();
            return true;
        } catch (error) {
            if (this.#closed) return true;
            count(`resuming ${error instanceof Trouble ? error.code : "not answered"}`);
            const lost = this.#ports.lostSince();
            const final = error instanceof Trouble && FINAL.has(error.code);
            if (!final && (lost === null || this.#ports.now() - lost < RESUME_LOST_MS)) return false;
            this.#ports.giveUp();
            return true;
        }
    }
}

/** All clients of a focus come back at once otherwise. */
function* pauses(random: number): Generator<number> {
    yield 2000 * random;
    yield* [1000, 2000, 4000];
    for (;;) yield 8000;
}

export interface ResumeAnswer {
    member: number;
    sdp: string;
}

/** Throws Trouble with the focus' code; TypeError and others when it is not reached. `address`: of config.json. */
export async function requestResume(address: string, resume: Resume, sdp: string, metadata: StreamMetadata): Promise<ResumeAnswer> {
    const response = await fetch(new URL(resume.url, address), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ token: resume.token, offer: { type: "offer", sdp }, sdp_stream_metadata: metadata }),
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(RESUME_ANSWER_MS),
    });
    return readAnswerUntrusted(await response.json());
}

/** Throws Trouble or Malformed. */
export function readAnswerUntrusted(json: unknown): ResumeAnswer {
    const content = object(json, "answer");
    if (Object.hasOwn(content, "error")) {
        const { code, message } = failure(object(content.error, "error"));
        throw new Trouble(code, message);
    }
    const answer = object(own(content, "answer"), "answer");
    if (answer.type !== "answer") throw new Malformed("answer: of another type");
    return { member: integer(own(content, "member"), 1, 0xffff, "member"), sdp: text(own(answer, "sdp"), MAX_MESSAGE_CHARS, "sdp") };
}
