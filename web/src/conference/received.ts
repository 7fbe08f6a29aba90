// What arrives: which slot carries whom, what its frames said, and the other members as the screen shows them.

import type { Layer } from "../protocol/adaptation.ts";
import { sourceNumber, type PictureSource, type Source } from "../protocol/names.ts";
import type { Member, Slot } from "../protocol/messages.ts";
import type { Kind, Peer } from "../call/peer.ts";
import type { MediaWorker } from "../sframe/mediaworker.ts";
import type { Report, Verdict } from "../sframe/verdict.ts";
import { Slots } from "./slots.ts";

/** One source of another member, as the screen shows it. */
export interface Shown {
    source: Source;
    carried: Carried;
    verdict: Verdict;
    report: Report | null;
    /** Of the slot that carries it now. */
    track: MediaStreamTrack | null;
    receiver: string | null;
    /** It has no pair: it is heard there while it is loud. */
    loudest: boolean;
    layer: Layer | null;
    /** Some of it has been opened since the slot carries it. */
    opened: boolean;
}

/** One other member. */
export interface TileView {
    member: number;
    userId: string;
    deviceId: string;
    muted: Record<Kind, boolean>;
    audio: Shown;
    camera: Shown;
    /** What they share, null: nothing. */
    screen: Shown | null;
}

export interface Carried {
    member: number | null;
    source: Source | null;
}

export interface Voice {
    receiver: string;
    /** Of whoever speaks loudest. */
    loudest: boolean;
    track: MediaStreamTrack;
}

export class Received {
    /** Frames of a member come without a key; `since` in ms. */
    onmissing: (member: number, source: Source, epoch: number, since: number) => void = () => undefined;
    readonly #peer: Peer;
    readonly #worker: MediaWorker;
    readonly #slots = new Slots();
    #reports = new Map<string, Report>();
    #opened = new Set<string>();
    #layers = new Map<string, Layer>();

    constructor(peer: Peer, worker: MediaWorker) {
        this.#peer = peer;
        this.#worker = worker;
    }

    slotsChanged(revision: number, slots: Slot[]): void {
        const loudest = new Set(this.#peer.loudest);
        for (const { receiver, member, source } of this.#slots.apply(revision, slots, (mid) => this.#named(mid))) {
            this.#opened.delete(receiver);
            this.#layers.delete(receiver);
            if (loudest.has(receiver)) continue;
            this.#reports.delete(receiver);
            this.#worker.post({ type: "expect", receiver, member, source: source === null ? null : sourceNumber(source) });
        }
        // Who speaks loudest changes faster than it can be said: the key that opens a frame names them.
        for (const receiver of loudest) this.#worker.post({ type: "expect", receiver, member: null, source: sourceNumber("audio"), anyone: true });
    }

    /** Only slots that changed are named. */
    layersChanged(layers: ReadonlyMap<string, Layer>): void {
        for (const [mid, layer] of layers) {
            const receiver = this.#named(mid);
            if (receiver !== undefined) this.#layers.set(receiver, layer);
        }
    }

    reported(receiver: string, report: Report): void {
        const carried = this.#slots.at(receiver);
        if (!carried) return;
        this.#reports.set(receiver, report);
        if (report.begun) this.#opened.add(receiver);
        const loudest = this.#peer.loudest.includes(receiver);
        const member = loudest ? report.member : carried.member;
        const source = loudest ? "audio" : carried.source;
        if (report.verdict === "missing_key" && report.missingSince !== null && member !== null && source !== null) {
            this.onmissing(member, source, report.epoch ?? 0, report.missingSince);
        }
    }

    tile(member: Member): TileView {
        const shares = member.sources.includes("screen");
        return {
            member: member.member,
            userId: member.userId,
            deviceId: member.deviceId,
            muted: { audio: member.audioMuted, video: member.videoMuted || !member.sources.includes("camera") },
            audio: this.#shown(member.member, "audio"),
            camera: this.#shown(member.member, "camera"),
            screen: shares ? this.#shown(member.member, "screen") : null,
        };
    }

    /** Everything that can be heard: one for each audio slot, whoever it carries. */
    voices(): Voice[] {
        return this.#peer.slots.filter(({ kind }) => kind === "audio").map(({ name, loudest, transceiver }) => ({ receiver: name, loudest, track: transceiver.receiver.track }));
    }

    /** The focus has said what the slots carry. */
    get told(): boolean {
        return this.#slots.told;
    }

    /** What is carried and can be opened at present, by pair. */
    alive(): Carried[] {
        const loudest = new Set(this.#peer.loudest);
        return [...this.#reports]
            .filter(([receiver, report]) => report.verdict === "decrypting" && !loudest.has(receiver))
            .map(([receiver]) => this.carried(receiver));
    }

    receiverOf({ member, source }: Carried): string | null {
        return member === null || source === null ? null : this.#slots.receiverOf(member, source);
    }

    /** Some of what it carries has been opened since. */
    opens(receiver: string): boolean {
        return this.#opened.has(receiver);
    }

    close(): void {
        this.#worker.post({ type: "forget", lane: this.#peer.lane, receivers: this.#peer.slots.map(({ name }) => name) });
    }

    /** By receiver: what it carries. */
    carried(receiver: string): Carried {
        return this.#slots.at(receiver) ?? { member: null, source: null };
    }

    layer(receiver: string): Layer | null {
        return this.#layers.get(receiver) ?? null;
    }

    #shown(member: number, source: Source): Shown {
        const receiver = this.#slots.receiverOf(member, source);
        const report = this.#reports.get(receiver ?? "") ?? null;
        // A slot for the loudest may still say what it said of somebody else.
        const theirs = report && (report.member === null || report.member === member || report.verdict === "not_encrypted") ? report : null;
        return {
            source,
            carried: { member, source },
            verdict: theirs?.verdict ?? "none",
            report: theirs,
            track: this.#peer.slots.find(({ name }) => name === receiver)?.transceiver.receiver.track ?? null,
            receiver,
            loudest: receiver !== null && this.#peer.loudest.includes(receiver),
            layer: receiver === null ? null : this.layer(receiver),
            opened: receiver !== null && this.#opened.has(receiver),
        };
    }

    #named(mid: string): string | undefined {
        return this.#peer.slots.find(({ transceiver }) => transceiver.mid === mid)?.name;
    }
}

/** The picture of a tile. */
export function picture(tile: TileView, source: PictureSource): Shown | null {
    return source === "camera" ? tile.camera : tile.screen;
}
