// What a receiver's frames say about its encryption, in reports of at most four a second. Pure: time in ms is passed in.

import type { Kid } from "../keys/kid.ts";

export type Verdict = "none" | "decrypting" | "missing_key" | "wrong_key" | "not_encrypted";

export const REPORT_MS = 250;
/** A receiver without frames for this long has nothing to say any more. Shorter flickers at 5 frames a second. */
const SILENT_MS = 2000;
/** Frames in clear are shown at least this long: one is one too many to pass unseen. */
const ALARM_MS = 3000;

/** "misplaced": of another member or source than the slot was announced to carry. */
export type FrameResult = "decrypted" | "missing_key" | "wrong_key" | "replayed" | "not_encrypted" | "misplaced";

export type FrameCounts = Record<FrameResult, number>;

export interface Report {
    verdict: Verdict;
    /** Whose key opened the last frame, or whose key is missing. */
    member: number | null;
    source: number | null;
    epoch: number | null;
    /** When the first of the frames without a key came, ms; null when none is missing. */
    missingSince: number | null;
    /** Something that can be shown has been handed on since the slot carries it: a picture begins with a key frame. */
    begun: boolean;
    counts: FrameCounts;
}

export class ReceiverVerdict {
    readonly counts: FrameCounts = { decrypted: 0, missing_key: 0, wrong_key: 0, replayed: 0, not_encrypted: 0, misplaced: 0 };
    #verdict: Verdict = "none";
    #kid: Kid | null = null;
    #missingSince: number | null = null;
    #lastFrame = -Infinity;
    #lastPlain = -Infinity;
    #wrongInRow = 0;
    #lastReport = -Infinity;
    #dirty = false;
    #begun = false;

    /** A decoder can begin here. */
    begins(): void {
        this.#dirty ||= !this.#begun;
        this.#begun = true;
    }

    frame(result: FrameResult, kid: Kid | null, now: number): void {
        this.counts[result]++;
        this.#dirty = true;
        if (result === "misplaced" || result === "replayed") return;
        this.#lastFrame = now;
        if (result === "not_encrypted") {
            this.#lastPlain = now;
            this.#verdict = "not_encrypted";
            return;
        }
        this.#wrongInRow = result === "wrong_key" ? this.#wrongInRow + 1 : 0;
        if (result === "missing_key") this.#missingSince ??= now;
        else if (result === "decrypted") this.#missingSince = null;
        this.#kid = kid;
        if (now - this.#lastPlain < ALARM_MS) return;
        if (result === "decrypted") this.#verdict = "decrypting";
        else if (result === "missing_key") this.#verdict = "missing_key";
        // One damaged frame is no wrong key; a few in a row are.
        else if (this.#wrongInRow >= 3 || this.#verdict === "none") this.#verdict = "wrong_key";
    }

    /** The slot carries something else from now on. */
    reset(): void {
        this.#verdict = "none";
        this.#kid = null;
        this.#missingSince = null;
        this.#lastPlain = -Infinity;
        this.#wrongInRow = 0;
        this.#begun = false;
        this.#dirty = true;
    }

    /** A report when there is something new to say and the last is REPORT_MS old. */
    report(now: number): Report | null {
        if (this.#verdict !== "none" && now - this.#lastFrame > SILENT_MS) {
            this.#verdict = "none";
            this.#missingSince = null;
            this.#dirty = true;
        }
        if (!this.#dirty || now - this.#lastReport < REPORT_MS) return null;
        this.#dirty = false;
        this.#lastReport = now;
        return {
            verdict: this.#verdict,
            member: this.#kid?.member ?? null,
            source: this.#kid?.source ?? null,
            epoch: this.#kid?.epoch ?? null,
            missingSince: this.#missingSince,
            begun: this.#begun,
            counts: { ...this.counts },
        };
    }
}
