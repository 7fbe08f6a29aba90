// The peer connection to the focus: one audio and one simulcast video sender, receive slots in pairs, a data channel.
// It knows nothing of members, keys or Matrix.

import type { MediaWorker } from "../sframe/mediaworker.ts";
import { connectionOptions } from "../sframe/mediaworker.ts";
import { count, guard } from "../guard.ts";
import { FIRST_SLOT_PAIRS } from "../protocol/limits.ts";
import { CHANNEL_LABEL, PURPOSE, sourceNumber, type Rid } from "../protocol/names.ts";
import type { WantedEncoding } from "../protocol/messages.ts";
import type { StreamMetadata } from "../matrix/focuscall.ts";
import { preferCodecs } from "./codecs.ts";
import { applyWanted, firstEncodings, NOTHING_WANTED } from "./encodings.ts";

export type Kind = "audio" | "video";

/** One receive-only section. `name` is what the media worker calls it. */
export interface SlotReceiver {
    name: string;
    kind: Kind;
    transceiver: RTCRtpTransceiver;
}

export class Peer {
    readonly pc: RTCPeerConnection;
    readonly channel: RTCDataChannel;
    readonly slots: SlotReceiver[] = [];
    onmessage: (data: unknown) => void = () => undefined;
    onopen: () => void = () => undefined;
    onconnection: (state: RTCPeerConnectionState) => void = () => undefined;
    readonly #worker: MediaWorker;
    readonly #stream = new MediaStream();
    readonly #senders: Record<Kind, RTCRtpTransceiver>;
    #wanted = new Map<Rid, WantedEncoding>();
    #pictures = true;
    #pairs = 0;
    /** One change of parameters or description after the other: each begins by reading what the last one left. */
    #queue: Promise<unknown> = Promise.resolve();

    constructor(worker: MediaWorker) {
        this.#worker = worker;
        this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: [], ...connectionOptions } as RTCConfiguration);
        this.pc.onconnectionstatechange = () => this.onconnection(this.pc.connectionState);
        this.channel = this.pc.createDataChannel(CHANNEL_LABEL);
        this.channel.onopen = () => this.onopen();
        this.channel.onmessage = guard("data channel message", (event: MessageEvent) => this.onmessage(event.data));
        this.#senders = { audio: this.#addSender("audio"), video: this.#addSender("video") };
        this.#addSlots(FIRST_SLOT_PAIRS);
    }

    get slotPairs(): number {
        return this.#pairs;
    }

    /** Sets the local offer and returns its SDP, at once: an ICE-lite focus learns our addresses from our checks. */
    async offer(): Promise<string> {
        await this.pc.setLocalDescription();
        return this.pc.localDescription?.sdp ?? "";
    }

    async answer(sdp: string): Promise<void> {
        await this.pc.setRemoteDescription({ type: "answer", sdp });
    }

    /** Adds receive slots and offers again; `exchange` carries the offer to the focus and brings its answer. */
    grow(pairs: number, exchange: (offer: string) => Promise<string>): Promise<void> {
        return this.#enqueue(async () => {
            this.#addSlots(pairs);
            const offer = await this.offer();
            try {
                await this.answer(await exchange(offer));
            } catch (error) {
                await this.pc.setLocalDescription({ type: "rollback" }).catch(() => undefined);
                throw error;
            }
        });
    }

    metadata(muted: Record<Kind, boolean>): StreamMetadata {
        return { [this.#stream.id]: { purpose: PURPOSE.usermedia, audio_muted: muted.audio, video_muted: muted.video } };
    }

    /** null: nothing is sent, not even silence. */
    async setTrack(kind: Kind, track: MediaStreamTrack | null): Promise<void> {
        this.#worker.post({ type: "mute", source: sourceNumber(kind === "audio" ? "audio" : "camera"), muted: track === null });
        if (kind === "video") {
            this.#pictures = track !== null;
            this.#adapt();
        }
        await this.#senders[kind].sender.replaceTrack(track);
    }

    /** What the focus wants of the camera. */
    want(wanted: Map<Rid, WantedEncoding>): void {
        this.#wanted = wanted;
        this.#adapt();
    }

    #adapt(): void {
        // Before the answer nothing is sent, and the offer is to name all encodings.
        if (!this.pc.remoteDescription) return;
        void this.#enqueue(async () => {
            const { sender } = this.#senders.video;
            const parameters = sender.getParameters();
            // Encoders that are on without a camera still send padding for two seconds.
            const wanted = this.#pictures ? this.#wanted : NOTHING_WANTED;
            if (applyWanted(parameters.encodings, wanted)) await sender.setParameters(parameters);
        }).catch(() => count("sender parameters refused"));
    }

    /** Begins the picture anew, where the browser can be asked to; otherwise the focus asks by RTCP. */
    requestOwnKeyFrame(): void {
        void this.#enqueue(async () => {
            const { sender } = this.#senders.video;
            const parameters = sender.getParameters();
            const options = { encodingOptions: parameters.encodings.map(() => ({ keyFrame: true })) };
            await (sender.setParameters as (p: RTCRtpSendParameters, o: object) => Promise<void>).call(sender, parameters, options);
        }).catch(() => undefined);
    }

    send(text: string): boolean {
        if (this.channel.readyState !== "open") return false;
        this.channel.send(text);
        return true;
    }

    async close(): Promise<void> {
        // What was sent last (the hangup) gets a moment to leave before the connection is torn down.
        for (let i = 0; i < 10 && this.channel.readyState === "open" && this.channel.bufferedAmount > 0; i++) {
            await new Promise((resolve) => setTimeout(resolve, 10));
        }
        if (this.channel.readyState === "open") await new Promise((resolve) => setTimeout(resolve, 50));
        this.pc.close();
    }

    #addSender(kind: Kind): RTCRtpTransceiver {
        const transceiver = this.pc.addTransceiver(kind, {
            direction: "sendonly",
            streams: [this.#stream],
            ...(kind === "video" ? { sendEncodings: firstEncodings() } : {}),
        });
        preferCodecs(transceiver, kind);
        const source = sourceNumber(kind === "audio" ? "audio" : "camera");
        this.#worker.attach(transceiver.sender, { side: "send", source, media: kind });
        return transceiver;
    }

    #addSlots(pairs: number): void {
        for (let i = 0; i < pairs; i++, this.#pairs++) {
            for (const kind of ["audio", "video"] as const) {
                const transceiver = this.pc.addTransceiver(kind, { direction: "recvonly" });
                preferCodecs(transceiver, kind);
                const name = `${kind}${this.#pairs}`;
                this.#worker.attach(transceiver.receiver, { side: "receive", receiver: name, media: kind });
                this.slots.push({ name, kind, transceiver });
            }
        }
    }

    #enqueue<T>(step: () => Promise<T>): Promise<T> {
        const result = this.#queue.then(step);
        this.#queue = result.catch(() => undefined);
        return result;
    }
}
