// Outgoing frames of one source: the key in use, and the one counter that all its encodings share.

import { concat, type Bytes } from "../bytes.ts";
import { joinKid, type Kid } from "../keys/kid.ts";
import { clearBytes, type FrameKind } from "./clear.ts";
import { deriveContext, seal, type FrameContext } from "./codec.ts";

interface Current {
    kid: number;
    epoch: number;
    ratchet: number;
    context: FrameContext;
}

export class SourceSealer {
    #current: Current | null = null;
    #counter = 0;
    /** frames sealed, and frames dropped because there was no key yet, the source is muted or they were empty */
    sealed = 0;
    dropped = 0;

    get ready(): boolean {
        return this.#current !== null;
    }

    get step(): { epoch: number; ratchet: number } | null {
        return this.#current && { epoch: this.#current.epoch, ratchet: this.#current.ratchet };
    }

    /**
     * Takes a key into use. Only forward: the same or an older step is ignored, because its counter would start again.
     * `kid.epoch` and `kid.ratchet` are the full numbers, not those of the wire.
     */
    async use(kid: Kid, key: Bytes): Promise<boolean> {
        const now = this.#current;
        if (now && (kid.epoch < now.epoch || (kid.epoch === now.epoch && kid.ratchet <= now.ratchet))) return false;
        const number = joinKid(kid);
        const context = await deriveContext(key, number, "encrypt");
        if (this.#current !== now) return false;
        this.#current = { kid: number, epoch: kid.epoch, ratchet: kid.ratchet, context };
        return true;
    }

    /** null: no key yet, and a frame never leaves in clear; or it is empty and says nothing: receivers look for a clear byte. */
    async seal(kind: FrameKind, frame: Bytes): Promise<Bytes | null> {
        const current = this.#current;
        if (current === null || frame.length === 0) {
            this.dropped++;
            return null;
        }
        // The counter goes on across ratchet steps and epochs: whatever the key, no number comes twice.
        const ctr = this.#counter++;
        const clear = frame.slice(0, clearBytes(kind, frame.length));
        const sealed = await seal(current.context, current.kid, ctr, clear, frame.subarray(clear.length));
        this.sealed++;
        return concat(clear, sealed);
    }
}
