// What this member sends: microphone, camera and screen as they are turned on and off, and what the focus is told of it.

import type { LocalMedia } from "../call/localmedia.ts";
import type { Kind, Peer } from "../call/peer.ts";
import { captureScreen, endCapture, type ScreenTracks } from "../call/screen.ts";
import { count } from "../guard.ts";
import type { StreamMetadata } from "../matrix/focuscall.ts";
import { MESSAGE, type Source } from "../protocol/names.ts";
import type { Negotiation } from "./negotiation.ts";

export class OwnSources {
    #peer: Peer;
    readonly #media: LocalMedia;
    readonly #send: (message: object) => boolean;
    /** Offered from the start. */
    readonly #first: Source[];
    #screen: ScreenTracks | null = null;
    #choosing = false;
    /** The mute state as the focus was told last. */
    #told = "";

    constructor(peer: Peer, media: LocalMedia, first: Source[], send: (message: object) => boolean) {
        this.#peer = peer;
        this.#media = media;
        this.#first = first;
        this.#send = send;
    }

    get sharing(): boolean {
        return this.#screen !== null;
    }

    get screen(): MediaStreamTrack | null {
        return this.#screen?.screen ?? null;
    }

    muted(kind: Kind): boolean {
        return this.#media.tracks[kind] === null;
    }

    /** Puts what is on now into its section. */
    async setTrack(kind: Kind): Promise<void> {
        await this.#peer.setTrack(kind === "audio" ? "audio" : "camera", this.#media.tracks[kind]).catch(() => count("track refused"));
    }

    /** What is true now, as said over a connection, and remembered as told. */
    metadata(peer = this.#peer): StreamMetadata {
        const metadata = peer.metadata(
            { audio: this.muted("audio"), camera: this.muted("video") },
            { screen: this.#screen !== null, sound: this.#screen?.screen_audio !== undefined },
        );
        this.#told = JSON.stringify(metadata);
        return metadata;
    }

    /** What another connection has to offer to send the same. */
    get sources(): Source[] {
        return [...this.#first, ...(this.#screen ? (Object.keys(this.#screen) as (keyof ScreenTracks)[]) : [])];
    }

    /** From now on over another connection: what that one sends begins as the first one's ends. */
    async moveTo(peer: Peer): Promise<void> {
        const former = this.#peer;
        this.#peer = peer;
        const tracks = Object.entries({ audio: this.#media.tracks.audio, camera: this.#media.tracks.video, ...this.#screen });
        const begun = tracks.map(([source, track]) => peer.setTrack(source as Source, track));
        await Promise.allSettled([former.release(), ...begun]);
    }

    tellMuted(): void {
        const before = this.#told;
        const metadata = this.metadata();
        if (this.#told === before) return;
        if (!this.#send({ type: MESSAGE.metadataChanged, content: { sdp_stream_metadata: metadata } })) this.#told = before;
    }

    /** Shares what the person chooses; false when they chose nothing. Throws when the focus refuses. `ended`: it stopped by itself. */
    async share(negotiation: Negotiation, ended: () => void): Promise<boolean> {
        if (this.#screen || this.#choosing) return this.sharing;
        this.#choosing = true;
        try {
            const tracks = await captureScreen(ended);
            if (!tracks) return false;
            this.#screen = tracks;
            await negotiation.share(tracks);
            return true;
        } catch (error) {
            endCapture(this.#screen);
            this.#screen = null;
            throw error;
        } finally {
            this.#choosing = false;
        }
    }

    async stopSharing(negotiation: Negotiation): Promise<void> {
        if (!this.#screen) return;
        endCapture(this.#screen);
        this.#screen = null;
        await negotiation.share(null).catch(() => count("end of screen share refused"));
    }

    close(): void {
        endCapture(this.#screen);
        this.#screen = null;
    }
}
