// The peer connection to the focus: what this member sends, receive slots, a data channel. It knows nothing of members,
// keys or Matrix.

import type { MediaWorker } from "../sframe/mediaworker.ts";
import { connectionOptions } from "../sframe/mediaworker.ts";
import { guard } from "../guard.ts";
import { FIRST_SLOT_PAIRS } from "../protocol/limits.ts";
import type { WantedEncoding } from "../protocol/adaptation.ts";
import { CHANNEL_LABEL, PURPOSE, type Rid, type Source } from "../protocol/names.ts";
import type { StreamMetadata } from "../matrix/focuscall.ts";
import { withAudioRepair } from "./audiorepair.ts";
import { preferCodecs } from "./codecs.ts";
import type { ScreenTracks } from "./screen.ts";
import { Outgoing, type Kind } from "./outgoing.ts";

export type { Kind } from "./outgoing.ts";

/** One receive-only section. `name` is what the media worker calls it. */
export interface SlotReceiver {
    name: string;
    kind: Kind;
    /** Audio that belongs to no pair: for whoever speaks loudest of those without one. */
    loudest: boolean;
    transceiver: RTCRtpTransceiver;
}

/** What an offer has. */
export interface Shape {
    pairs: number;
    loudest: number;
    sources: Source[];
}

/** Which sources are not sent now, or not with a picture or sound in them. */
export type Muted = Record<"audio" | "camera", boolean>;

/** Of the invite. Without pictures there are no cameras, but pairs for whoever is heard. */
export function firstShape(maxPairs: number, pictures = true): Shape {
    return { pairs: Math.min(FIRST_SLOT_PAIRS, maxPairs), loudest: 0, sources: pictures ? ["audio", "camera"] : ["audio"] };
}

export class Peer {
    readonly pc: RTCPeerConnection;
    readonly channel: RTCDataChannel;
    /** What the media worker calls this connection. */
    readonly lane: number;
    slots: SlotReceiver[] = [];
    onmessage: (data: unknown) => void = () => undefined;
    onopen: () => void = () => undefined;
    onconnection: (state: RTCPeerConnectionState) => void = () => undefined;
    readonly #worker: MediaWorker;
    readonly #streams = { user: new MediaStream(), screen: new MediaStream() };
    readonly #outgoing = new Map<Source, Outgoing>();
    /** One change of parameters or description after the other: each begins by reading what the last one left. */
    #queue: Promise<unknown> = Promise.resolve();

    constructor(worker: MediaWorker, { pairs, loudest, sources }: Shape) {
        this.#worker = worker;
        this.lane = worker.nameLane();
        this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: [], ...connectionOptions } as RTCConfiguration);
        this.pc.onconnectionstatechange = () => this.onconnection(this.pc.connectionState);
        this.channel = this.pc.createDataChannel(CHANNEL_LABEL);
        this.channel.onopen = () => this.onopen();
        this.channel.onmessage = guard("data channel message", (event: MessageEvent) => this.onmessage(event.data));
        for (const source of sources) this.#send(source);
        this.#addSlots(pairs, loudest);
    }

    get slotPairs(): number {
        return this.slots.filter(({ kind }) => kind === "video").length;
    }

    /** By the media worker's names. */
    get loudest(): string[] {
        return this.slots.filter(({ loudest }) => loudest).map(({ name }) => name);
    }

    /** Sets the local offer and returns its SDP, at once: an ICE-lite focus learns our addresses from our checks. */
    async offer(): Promise<string> {
        const { sdp } = await this.pc.createOffer();
        // A browser that takes no description but its own loses the repair of audio, nothing else.
        await this.pc.setLocalDescription({ type: "offer", sdp: withAudioRepair(sdp ?? "") }).catch(() => this.pc.setLocalDescription());
        return this.pc.localDescription?.sdp ?? "";
    }

    async answer(sdp: string): Promise<void> {
        await this.pc.setRemoteDescription({ type: "answer", sdp });
    }

    /** Adds receive slots and offers again; `exchange` carries the offer to the focus and brings its answer. */
    grow(pairs: number, loudest: number, exchange: (offer: string) => Promise<string>): Promise<void> {
        return this.#renegotiate(() => this.#addSlots(pairs, loudest), exchange);
    }

    /** Begins or ends to send the screen; null: ends. */
    async share(tracks: ScreenTracks | null, exchange: (offer: string) => Promise<string>): Promise<void> {
        const show = (shown: ScreenTracks | null) => {
            for (const source of ["screen", "screen_audio"] as const) {
                const track = shown?.[source] ?? null;
                const sender = track ? this.#send(source) : this.#outgoing.get(source);
                if (!sender) continue;
                sender.transceiver.direction = track ? "sendonly" : "inactive";
                void sender.setTrack(track).catch(() => undefined);
            }
        };
        try {
            await this.#renegotiate(() => show(tracks), exchange);
        } catch (error) {
            show(null);
            throw error;
        }
    }

    /** Another path for all that goes on: new ICE credentials and candidates, everything else as it is. */
    restart(exchange: (offer: string) => Promise<string>): Promise<void> {
        return this.#renegotiate(() => this.pc.restartIce(), exchange);
    }

    metadata(muted: Muted, sharing: { screen: boolean; sound: boolean }): StreamMetadata {
        return {
            [this.#streams.user.id]: { purpose: PURPOSE.usermedia, audio_muted: muted.audio, video_muted: muted.camera },
            ...(this.#outgoing.has("screen") ? { [this.#streams.screen.id]: { purpose: PURPOSE.screenshare, audio_muted: !sharing.sound, video_muted: !sharing.screen } } : {}),
        };
    }

    async setTrack(source: Source, track: MediaStreamTrack | null): Promise<void> {
        await this.#outgoing.get(source)?.setTrack(track);
    }

    /** Nothing more is sent here: another connection sends it. */
    async release(): Promise<void> {
        await Promise.all([...this.#outgoing.values()].map((outgoing) => outgoing.release()));
    }

    /** What the focus wants of each source that has encodings. */
    want(wanted: ReadonlyMap<Source, ReadonlyMap<Rid, WantedEncoding>>): void {
        for (const [source, encodings] of wanted) this.#outgoing.get(source)?.want(encodings);
    }

    requestOwnKeyFrame(source: Source): void {
        this.#outgoing.get(source)?.requestKeyFrame();
    }

    /** The source that a section with this mid sends. */
    sourceOf(mid: unknown): Source | null {
        for (const { source, transceiver } of this.#outgoing.values()) if (transceiver.mid === mid) return source;
        return null;
    }

    /** Of each source that has encodings: as the browser has them now. */
    parameters(): Record<string, Record<string, unknown>[]> {
        const video = [...this.#outgoing.values()].filter(({ kind }) => kind === "video");
        return Object.fromEntries(video.map(({ source, transceiver }) => [source, transceiver.sender.getParameters().encodings.map((one) => ({ ...one }))]));
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

    /** Makes `change` and offers it; what it added goes again if the focus refuses. */
    #renegotiate(change: () => void, exchange: (offer: string) => Promise<string>): Promise<void> {
        return this.#enqueue(async () => {
            const before = { slots: this.slots.length, sources: new Set(this.#outgoing.keys()) };
            change();
            try {
                await this.answer(await exchange(await this.offer()));
            } catch (error) {
                await this.pc.setLocalDescription({ type: "rollback" }).catch(() => undefined);
                for (const { transceiver } of this.slots.splice(before.slots)) transceiver.stop();
                for (const [source, { transceiver }] of this.#outgoing) {
                    if (before.sources.has(source)) continue;
                    transceiver.stop();
                    this.#outgoing.delete(source);
                }
                throw error;
            }
        });
    }

    #send(source: Source): Outgoing {
        const known = this.#outgoing.get(source);
        if (known) return known;
        const stream = source === "audio" || source === "camera" ? this.#streams.user : this.#streams.screen;
        const made = new Outgoing(source, stream, { pc: this.pc, worker: this.#worker, enqueue: (step) => this.#enqueue(step) });
        this.#outgoing.set(source, made);
        return made;
    }

    /** Sections pair up by their order within a kind: audio that is left over in an offer is for the loudest, for good. */
    #addSlots(pairs: number, loudest = 0): void {
        for (let i = 0; i < pairs; i++) {
            this.#addSlot("audio");
            this.#addSlot("video");
        }
        for (let i = 0; i < loudest; i++) this.#addSlot("audio", true);
    }

    #addSlot(kind: Kind, loudest = false): void {
        const transceiver = this.pc.addTransceiver(kind, { direction: "recvonly" });
        preferCodecs(transceiver, kind);
        const name = this.#worker.nameReceiver(kind);
        this.#worker.attach(transceiver.receiver, { side: "receive", receiver: name, media: kind, lane: this.lane });
        this.slots.push({ name, kind, loudest, transceiver });
    }

    #enqueue<T>(step: () => Promise<T>): Promise<T> {
        const result = this.#queue.then(step);
        this.#queue = result.catch(() => undefined);
        return result;
    }
}
