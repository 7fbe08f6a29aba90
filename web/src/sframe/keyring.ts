// Keys of the others, and the opening of their frames. One ring for all receivers of the page.

import { type Bytes } from "../bytes.ts";
import { joinKid, kidPrefix, splitKid, type Kid } from "../keys/kid.ts";
import { ratchet } from "../keys/ratchet.ts";
import { EPOCHS_KEPT, MAX_RATCHET_AHEAD } from "../protocol/limits.ts";
import { clearBytes, receivedKind } from "./clear.ts";
import { decodeHeaderUntrusted, deriveContext, open, TAG_BYTES, type FrameContext } from "./codec.ts";
import { ReplayWindow } from "./replay.ts";

/** Base keys of one (member, source, epoch), by full ratchet step. */
interface Epoch {
    epoch: number;
    steps: Map<number, Bytes>;
}

interface Opener {
    context: FrameContext;
    /** By lane. */
    replay: Map<number, ReplayWindow>;
}

export type Opened =
    | { result: "decrypted"; kid: Kid; data: Bytes }
    | { result: "missing_key"; kid: Kid }
    | { result: "wrong_key"; kid: Kid }
    | { result: "replayed"; kid: Kid }
    | { result: "not_encrypted" };

/** Steps kept of one epoch: the newest few are enough, older frames are no longer in flight. */
const STEPS_KEPT = 4;

export class KeyRing {
    #epochs = new Map<string, Epoch[]>();
    #openers = new Map<number, Opener>();
    /** While a second connection takes over, each frame comes once on either: each is a lane with its own memory. */
    #lanes = new Set<number>();

    add(member: number, source: number, epoch: number, step: number, key: Bytes): void {
        const name = `${member}/${source}`;
        const epochs = this.#epochs.get(name) ?? [];
        let entry = epochs.find((one) => one.epoch === epoch);
        if (!entry) {
            entry = { epoch, steps: new Map() };
            epochs.push(entry);
            epochs.sort((a, b) => b.epoch - a.epoch);
            for (const old of epochs.splice(EPOCHS_KEPT)) this.#forget({ member, source, epoch: old.epoch, ratchet: 0 });
            if (!epochs.includes(entry)) return;
        }
        // Another key for a known step counts for nothing: the first one's counters have been seen.
        if (entry.steps.has(step)) return;
        entry.steps.set(step, key);
        const steps = [...entry.steps.keys()].sort((a, b) => b - a);
        for (const old of steps.slice(STEPS_KEPT)) entry.steps.delete(old);
        this.#epochs.set(name, epochs);
    }

    removeMember(member: number): void {
        for (const name of this.#epochs.keys()) if (name.startsWith(`${member}/`)) this.#epochs.delete(name);
        for (const kid of this.#openers.keys()) if (splitKid(kid)?.member === member) this.#openers.delete(kid);
    }

    /** A connection begins: whatever has been opened by now never opens on it. */
    beginLane(lane: number): void {
        if (this.#lanes.has(lane)) return;
        this.#lanes.add(lane);
        for (const { replay } of this.#openers.values()) replay.set(lane, new ReplayWindow(Math.max(-1, ...[...replay.values()].map(({ highest }) => highest))));
    }

    endLane(lane: number): void {
        this.#lanes.delete(lane);
        for (const { replay } of this.#openers.values()) replay.delete(lane);
    }

    /** Base keys held, for display. */
    get size(): number {
        let total = 0;
        for (const epochs of this.#epochs.values()) total += epochs.length;
        return total;
    }

    /** Whose key a frame claims to need; null: it is no frame of ours. Proves nothing. */
    peek(media: "audio" | "video", frame: Bytes, claimed: number | undefined): Kid | null {
        const clear = clearBytes(receivedKind(media, frame), frame.length);
        const header = decodeHeaderUntrusted(frame.subarray(clear));
        const kid = header && frame.length >= clear + header.length + TAG_BYTES ? splitKid(header.kid) : null;
        return kid && plausible(media, kid, claimed) ? kid : null;
    }

    /**
     * Opens one frame. `claimed` is the member the packets name (CSRC), if any: only used to tell a frame whose key is
     * missing from one that is not SFrame at all. Who sent a frame is said by the key that opened it.
     */
    async open(media: "audio" | "video", frame: Bytes, claimed: number | undefined, lane = 0): Promise<Opened> {
        const clear = frame.slice(0, clearBytes(receivedKind(media, frame), frame.length));
        const body = frame.subarray(clear.length);
        const header = decodeHeaderUntrusted(body);
        if (!header || body.length < header.length + TAG_BYTES) return { result: "not_encrypted" };
        const kid = splitKid(header.kid);
        if (!kid || !plausible(media, kid, claimed)) return { result: "not_encrypted" };
        const cached = this.#openers.get(header.kid);
        const opener = cached ?? (await this.#derive(kid));
        if (!opener) return { result: "missing_key", kid };
        const replay = opener.replay.get(lane) ?? new ReplayWindow();
        opener.replay.set(lane, replay);
        if (!replay.allows(header.ctr)) return { result: "replayed", kid };
        const plain = await open(opener.context, header, clear, body);
        if (!plain) return { result: "wrong_key", kid };
        // Twice the same frame may have been on its way at once.
        if (!replay.allows(header.ctr)) return { result: "replayed", kid };
        replay.record(header.ctr);
        if (!cached) this.#openers.set(header.kid, opener);
        const data = new Uint8Array(clear.length + plain.length);
        data.set(clear);
        data.set(plain, clear.length);
        return { result: "decrypted", kid, data };
    }

    async #derive(kid: Kid): Promise<Opener | null> {
        const entry = this.#epochs.get(`${kid.member}/${kid.source}`)?.find((one) => one.epoch % 4096 === kid.epoch);
        if (!entry) return null;
        // The nearest known step at or before the frame's: a step forward can be computed, one back cannot.
        let best: { key: Bytes; ahead: number } | null = null;
        for (const [step, key] of entry.steps) {
            const ahead = (kid.ratchet - (step % 256) + 256) % 256;
            if (ahead <= MAX_RATCHET_AHEAD && (!best || ahead < best.ahead)) best = { key, ahead };
        }
        if (!best) return null;
        let key = best.key;
        for (let i = 0; i < best.ahead; i++) key = await ratchet(key);
        const context = await deriveContext(key, joinKid(kid), "decrypt");
        return this.#openers.get(joinKid(kid)) ?? { context, replay: new Map() };
    }

    #forget(kid: Kid): void {
        const prefix = kidPrefix(kid);
        for (const number of this.#openers.keys()) if (Math.floor(number / 256) === prefix) this.#openers.delete(number);
    }
}

function plausible(media: "audio" | "video", kid: Kid, claimed: number | undefined): boolean {
    const fits = media === "audio" ? kid.source === 0 || kid.source === 3 : kid.source === 1 || kid.source === 2;
    return fits && (claimed === undefined || claimed === kid.member);
}
