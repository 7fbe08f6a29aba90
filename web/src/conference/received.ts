// What arrives: which slot carries whom, what its frames said, and the other members as the screen shows them.

import { sourceNumber, type Source } from "../protocol/names.ts";
import type { Member, Slot } from "../protocol/messages.ts";
import type { Kind, Peer } from "../call/peer.ts";
import type { MediaWorker } from "../sframe/mediaworker.ts";
import type { Report, Verdict } from "../sframe/verdict.ts";
import { Slots } from "./slots.ts";

/** One other member, as the screen shows them. */
export interface TileView {
    member: number;
    userId: string;
    deviceId: string;
    muted: Record<Kind, boolean>;
    verdict: Record<Kind, Verdict>;
    report: Record<Kind, Report | null>;
    /** The tracks of the slots that carry this member now. */
    track: Record<Kind, MediaStreamTrack | null>;
    receiver: Record<Kind, string | null>;
}

export class Received {
    /** Frames of a member come without a key; `since` in ms. */
    onmissing: (member: number, source: Source, epoch: number, since: number) => void = () => undefined;
    readonly #peer: Peer;
    readonly #worker: MediaWorker;
    readonly #slots = new Slots();
    #reports = new Map<string, Report>();

    constructor(peer: Peer, worker: MediaWorker) {
        this.#peer = peer;
        this.#worker = worker;
    }

    slotsChanged(revision: number, slots: Slot[]): void {
        const named = (mid: string) => this.#peer.slots.find(({ transceiver }) => transceiver.mid === mid)?.name;
        for (const { receiver, member, source } of this.#slots.apply(revision, slots, named)) {
            this.#reports.delete(receiver);
            this.#worker.post({ type: "expect", receiver, member, source: source === null ? null : sourceNumber(source) });
        }
    }

    reported(receiver: string, report: Report): void {
        const carried = this.#slots.at(receiver);
        if (!carried) return;
        this.#reports.set(receiver, report);
        const { member, source } = carried;
        if (report.verdict === "missing_key" && report.missingSince !== null && member !== null && source !== null) {
            this.onmissing(member, source, report.epoch ?? 0, report.missingSince);
        }
    }

    tile(member: Member): TileView {
        const of = <T>(read: (kind: Kind) => T): Record<Kind, T> => ({ audio: read("audio"), video: read("video") });
        const receiver = of((kind) => this.#slots.receiverOf(member.member, kind === "audio" ? "audio" : "camera"));
        const report = of((kind) => this.#reports.get(receiver[kind] ?? "") ?? null);
        return {
            member: member.member,
            userId: member.userId,
            deviceId: member.deviceId,
            muted: { audio: member.audioMuted, video: member.videoMuted },
            verdict: of((kind) => report[kind]?.verdict ?? "none"),
            report,
            track: of((kind) => this.#peer.slots.find(({ name }) => name === receiver[kind])?.transceiver.receiver.track ?? null),
            receiver,
        };
    }
}
