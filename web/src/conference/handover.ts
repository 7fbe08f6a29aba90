// While a second connection takes over from the first: each picture and sound comes from the first until the second one's is
// opened and decoded, so that nothing stops. Pure, but for the tracks it hands on.

import type { PeerStats } from "../call/stats.ts";
import type { Carried, Received, Shown, TileView, Voice } from "./received.ts";
import type { Member } from "../protocol/messages.ts";

export class Handover {
    readonly #from: Received;
    readonly #to: Received;
    /** What the first showed when the second began to speak. */
    readonly #alive: Carried[];
    /** Receivers of the second that have decoded a picture. */
    #decoding = new Set<unknown>();

    constructor(from: Received, to: Received) {
        this.#from = from;
        this.#to = to;
        this.#alive = from.alive();
    }

    tile(member: Member): TileView {
        const [before, now] = [this.#from.tile(member), this.#to.tile(member)];
        return {
            ...now,
            audio: this.#later(before.audio, now.audio),
            camera: this.#later(before.camera, now.camera),
            screen: now.screen && before.screen ? this.#later(before.screen, now.screen) : now.screen,
        };
    }

    /** Of the second connection. */
    read({ receivers }: PeerStats): void {
        this.#decoding = new Set(receivers.filter(({ framesDecoded }) => Number(framesDecoded ?? 0) > 0).map(({ receiver }) => receiver));
    }

    /** Nobody twice: what the first still gives is taken from there, and slots for whoever is loudest go over last. */
    voices(): Voice[] {
        const before = this.#from.voices().filter((voice) => voice.loudest || !this.#gives(this.#from.carried(voice.receiver)));
        const now = this.#to.voices().filter((voice) => !voice.loudest && this.#gives(this.#to.carried(voice.receiver)));
        return [...before, ...now];
    }

    /** Everything that the first shows, the second shows too. */
    get done(): boolean {
        return this.#to.told && this.#alive.every((carried) => this.#to.receiverOf(carried) === null || this.#gives(carried));
    }

    #later(before: Shown, now: Shown): Shown {
        return this.#gives(before.carried) || before.verdict !== "decrypting" ? now : before;
    }

    /** The second connection has it, and it can be seen or heard. */
    #gives(carried: Carried): boolean {
        const receiver = this.#to.receiverOf(carried);
        if (receiver === null || !this.#to.opens(receiver)) return false;
        return carried.source === "audio" || carried.source === "screen_audio" || this.#decoding.has(receiver);
    }
}
