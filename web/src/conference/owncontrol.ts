// What a person turns on and off while in a conference, or is asked to turn off.

import type { LocalMedia } from "../call/localmedia.ts";
import type { Kind } from "../call/peer.ts";
import { count } from "../guard.ts";
import { explain, Trouble } from "../protocol/errors.ts";
import type { Mutable } from "../protocol/moderation.ts";
import type { Negotiation } from "./negotiation.ts";
import type { OwnSources } from "./ownsources.ts";

const ASKED: Record<Mutable, string> = {
    audio: "asked you to be silent. Your microphone is off until you turn it on.",
    camera: "asked you to turn your camera off. It is off until you turn it on.",
    screen: "asked you to stop sharing. Your screen is not shared any more.",
};

export interface OwnControlPorts {
    media: LocalMedia;
    own: OwnSources;
    negotiation(): Negotiation;
    joined(): boolean;
    /** What others call this user. */
    nameOf(userId: string): string;
    notify(text: string): void;
    changed(): void;
}

export class OwnControl {
    readonly #ports: OwnControlPorts;

    constructor(ports: OwnControlPorts) {
        this.#ports = ports;
    }

    async setMuted(kind: Kind, muted: boolean): Promise<void> {
        await this.#ports.media.setOn(kind, !muted);
    }

    async share(on: boolean): Promise<void> {
        const { own, notify, changed } = this.#ports;
        const negotiation = this.#ports.negotiation();
        try {
            if (!on) await own.stopSharing(negotiation);
            else await own.share(negotiation, () => void this.share(false));
        } catch (error) {
            count(`screen share: ${error instanceof Error ? `${error.name}: ${error.message}` : "refused"}`);
            const cause = error instanceof Trouble ? explain(error.code, error.message).cause : "This browser could not capture it.";
            notify(`The screen is not shared. ${cause}`);
        }
        changed();
    }

    /** Obeyed, and said; turning it on again is this person's own affair. */
    async asked(source: Mutable, by: string): Promise<void> {
        const { own, joined, nameOf, notify } = this.#ports;
        const on = { audio: !own.muted("audio"), camera: !own.muted("video"), screen: own.sharing }[source];
        if (!joined() || !on) return;
        if (source === "screen") await this.share(false);
        else await this.setMuted(source === "audio" ? "audio" : "video", true);
        notify(`${nameOf(by)} ${ASKED[source]}`);
    }
}
