// One source this member sends: its section, its track, and its encodings as the focus wants them.

import { count } from "../guard.ts";
import type { WantedEncoding } from "../protocol/adaptation.ts";
import { sourceNumber, type PictureSource, type Rid, type Source } from "../protocol/names.ts";
import type { MediaWorker } from "../sframe/mediaworker.ts";
import { preferCodecs } from "./codecs.ts";
import { applyWanted, firstEncodings, NOTHING_WANTED } from "./encodings.ts";

export type Kind = "audio" | "video";

/** A refused change of parameters is tried again with what is wanted by then. */
const ATTEMPTS = 3;
const AGAIN_MS = 200;

export interface OutgoingPorts {
    pc: RTCPeerConnection;
    worker: MediaWorker;
    /** Runs one change of parameters or description after the other. */
    enqueue: <T>(step: () => Promise<T>) => Promise<T>;
}

export class Outgoing {
    readonly source: Source;
    readonly kind: Kind;
    readonly transceiver: RTCRtpTransceiver;
    readonly #ports: OutgoingPorts;
    #wanted: ReadonlyMap<Rid, WantedEncoding> | null = null;
    #sending = true;
    #waiting = false;

    constructor(source: Source, stream: MediaStream, ports: OutgoingPorts) {
        this.source = source;
        this.kind = source === "audio" || source === "screen_audio" ? "audio" : "video";
        this.#ports = ports;
        this.transceiver = ports.pc.addTransceiver(this.kind, {
            direction: "sendonly",
            streams: [stream],
            ...(this.kind === "video" ? { sendEncodings: firstEncodings(source as PictureSource) } : {}),
        });
        preferCodecs(this.transceiver, this.kind);
        ports.worker.attach(this.transceiver.sender, { side: "send", source: sourceNumber(source), media: this.kind });
    }

    /** null: nothing is sent, not even silence. */
    async setTrack(track: MediaStreamTrack | null): Promise<void> {
        this.#ports.worker.post({ type: "mute", source: sourceNumber(this.source), muted: track === null });
        this.#sending = track !== null;
        this.#adapt();
        await this.transceiver.sender.replaceTrack(track);
    }

    /** Nothing more comes from here, but the source is not muted: another connection sends it. */
    async release(): Promise<void> {
        this.#sending = false;
        this.#adapt();
        await this.transceiver.sender.replaceTrack(null);
    }

    want(wanted: ReadonlyMap<Rid, WantedEncoding>): void {
        this.#wanted = wanted;
        this.#adapt();
    }

    /** Begins the picture anew, where the browser can be asked to; otherwise the focus asks by RTCP. */
    requestKeyFrame(): void {
        const { sender } = this.transceiver;
        void this.#ports
            .enqueue(async () => {
                const parameters = sender.getParameters();
                const options = { encodingOptions: parameters.encodings.map(() => ({ keyFrame: true })) };
                await (sender.setParameters as (p: RTCRtpSendParameters, o: object) => Promise<void>).call(sender, parameters, options);
            })
            .catch(() => undefined);
    }

    #adapt(attempt = 1): void {
        // Before the answer nothing is sent, and the offer is to name all encodings. What waits already will read the newest wish.
        if (this.kind === "audio" || !this.#ports.pc.remoteDescription || this.#waiting) return;
        this.#waiting = true;
        this.#ports
            .enqueue(async () => {
                this.#waiting = false;
                const { sender } = this.transceiver;
                const parameters = sender.getParameters();
                // Encoders that are on without a picture still send padding for two seconds.
                const wanted = this.#sending ? this.#wanted : NOTHING_WANTED;
                if (applyWanted(parameters.encodings, wanted, this.source as PictureSource)) await sender.setParameters(parameters);
            })
            .catch(() => {
                count("sender parameters refused");
                if (attempt < ATTEMPTS) setTimeout(() => this.#adapt(attempt + 1), AGAIN_MS);
            });
    }
}
