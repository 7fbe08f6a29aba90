// What the page and the media worker say to each other. Keys go in; no key ever comes out.

import type { Bytes } from "../bytes.ts";
import type { Report } from "./verdict.ts";

/** Options of one transform: a sender of one source, or the receiver of one slot. */
export type TransformOptions =
    | { side: "send"; source: number; media: "audio" | "video" }
    /** `lane`: a number for each connection. */
    | { side: "receive"; receiver: string; media: "audio" | "video"; lane: number };

export type ToWorker =
    | { type: "send_key"; member: number; source: number; epoch: number; ratchet: number; key: Bytes }
    | { type: "receive_key"; member: number; source: number; epoch: number; ratchet: number; key: Bytes }
    | { type: "remove_member"; member: number }
    /** What the focus says a slot carries now; null: nothing. `anyone`: whoever speaks loudest, by the key that opens it. */
    | { type: "expect"; receiver: string; member: number | null; source: number | null; anyone?: boolean }
    | { type: "mute"; source: number; muted: boolean }
    /** Their connection is closed. */
    | { type: "forget"; lane: number; receivers: string[] }
    /** createEncodedStreams, where there is no RTCRtpScriptTransform. */
    | { type: "streams"; options: TransformOptions; readable: ReadableStream; writable: WritableStream };

export interface SenderReport {
    source: number;
    sealed: number;
    dropped: number;
    epoch: number | null;
    ratchet: number | null;
}

export type FromWorker =
    | { type: "receiver"; receiver: string; report: Report }
    | { type: "senders"; senders: SenderReport[]; receiveKeys: number }
    /** A source is sealed with a key that newcomers have: a picture must begin here. */
    | { type: "fresh_key"; source: number }
    | { type: "fault"; what: string };
