// The media worker: every frame of the page, in and out, passes here. One worker for a whole conference, so that each
// base key has one counter; a new conference starts a new worker and new keys.

import type { Bytes } from "../bytes.ts";
import type { Kid } from "../keys/kid.ts";
import { receivedKind } from "./clear.ts";
import { KeyRing, type Opened } from "./keyring.ts";
import type { FromWorker, ToWorker, TransformOptions } from "./port.ts";
import { SourceSealer } from "./sealer.ts";
import { ReceiverVerdict, REPORT_MS, type FrameResult } from "./verdict.ts";

type EncodedFrame = RTCEncodedVideoFrame | RTCEncodedAudioFrame;
type Output = TransformStreamDefaultController<EncodedFrame>;

/** The transformer as browsers have it: both methods may be missing. */
interface Transformer {
    readable: ReadableStream<EncodedFrame>;
    writable: WritableStream<EncodedFrame>;
    options?: unknown;
    sendKeyFrameRequest?: () => Promise<void>;
    generateKeyFrame?: (rid?: string) => Promise<unknown>;
}

interface Receiver {
    media: "audio" | "video";
    lane: number;
    verdict: ReceiverVerdict;
    member: number | null;
    source: number | null;
    /** Frames of this source pass whoever's they are: the key that opens them says so. */
    anyone: boolean;
    /**
     * Pictures whose key has not come yet, or of which the focus has not said yet that this slot carries them, from the last key
     * frame on. Once it is there the decoder gets them all at once, and nobody has to be asked for another key frame.
     */
    held: RTCEncodedVideoFrame[];
    /** Frames were thrown away, so the decoder waits for a key frame. */
    starved: boolean;
    requestKeyFrame: (() => Promise<void>) | null;
}

/** Pictures held per receiver: 4 s at 30 a second. More costs memory (0.2 MB/s of full resolution), fewer a key frame request. */
const MAX_HELD = 120;

const sealers = new Map<number, SourceSealer>();
const muted = new Set<number>();
/** By source: more than one while a second connection takes over. */
const generators = new Map<number, Set<() => Promise<unknown>>>();
const receivers = new Map<string, Receiver>();
const ring = new KeyRing();
let lastSenders = "";

function post(message: FromWorker): void {
    self.postMessage(message);
}

function sealerOf(source: number): SourceSealer {
    let sealer = sealers.get(source);
    if (!sealer) sealers.set(source, (sealer = new SourceSealer()));
    return sealer;
}

function receiverOf(name: string, media: "audio" | "video" = "video"): Receiver {
    let receiver = receivers.get(name);
    if (!receiver) {
        receiver = { media, lane: 0, verdict: new ReceiverVerdict(), member: null, source: null, anyone: false, held: [], starved: false, requestKeyFrame: null };
        receivers.set(name, receiver);
    }
    return receiver;
}

function attach(options: TransformOptions, transformer: Transformer): void {
    if (options.side === "send") {
        const generate = () => transformer.generateKeyFrame?.() ?? Promise.resolve();
        const all = generators.get(options.source) ?? new Set();
        generators.set(options.source, all.add(generate));
        void run(transformer, (frame, output) => sendFrame(options.source, frame, output)).then(() => all.delete(generate));
        return;
    }
    const receiver = receiverOf(options.receiver, options.media);
    receiver.media = options.media;
    receiver.lane = options.lane;
    ring.beginLane(options.lane);
    if (options.media === "video" && transformer.sendKeyFrameRequest) {
        receiver.requestKeyFrame = () => transformer.sendKeyFrameRequest!();
    }
    void run(transformer, (frame, output) => receiveFrame(receiver, frame, output));
}

/** Resolves when the connection is closed. */
function run(transformer: Transformer, transform: (frame: EncodedFrame, output: Output) => Promise<void>): Promise<void> {
    const guarded = async (frame: EncodedFrame, output: Output) => {
        try {
            await transform(frame, output);
        } catch {
            // One bad frame is dropped; a thrown error would end the whole transform.
            post({ type: "fault", what: "frame" });
        }
    };
    return transformer.readable
        .pipeThrough(new TransformStream<EncodedFrame, EncodedFrame>({ transform: guarded }))
        .pipeTo(transformer.writable)
        .catch(() => undefined);
}

async function sendFrame(source: number, frame: EncodedFrame, output: Output): Promise<void> {
    if (muted.has(source)) {
        sealerOf(source).dropped++;
        return;
    }
    const kind = "type" in frame ? (frame.type === "key" ? "key" : "delta") : "audio";
    const sealed = await sealerOf(source).seal(kind, new Uint8Array(frame.data) as Bytes);
    if (!sealed) return;
    frame.data = sealed.buffer;
    output.enqueue(frame);
}

async function receiveFrame(receiver: Receiver, frame: EncodedFrame, output: Output): Promise<void> {
    // Chromium hands an empty audio frame over now and then; it says nothing about anybody.
    if (frame.data.byteLength === 0) return;
    if (receiver.held.length > 0) await releaseHeld(receiver, output);
    const result = await passFrame(receiver, frame, output);
    if (receiver.media !== "video") return;
    if (result === "missing_key" || result === "misplaced") hold(receiver, frame as RTCEncodedVideoFrame);
    else if (receiver.held.length > 0) {
        // What is held is sealed with an older step than the key that came, for good: begin with a new key frame.
        receiver.held = [];
        receiver.requestKeyFrame?.().catch(() => undefined);
    }
}

function hold(receiver: Receiver, frame: RTCEncodedVideoFrame): void {
    const key = receivedKind("video", new Uint8Array(frame.data)) === "key";
    if (key) receiver.held = [];
    // A delta frame without its key frame is of no use to anybody.
    if ((key || receiver.held.length > 0) && receiver.held.length < MAX_HELD) receiver.held.push(frame);
    else receiver.held = [];
    receiver.starved = receiver.held.length === 0;
}

/** In their order, as far as there is a key for them by now. */
async function releaseHeld(receiver: Receiver, output: Output): Promise<void> {
    while (receiver.held.length > 0) {
        if (["missing_key", "misplaced"].includes(await passFrame(receiver, receiver.held[0]!, output, false))) return;
        receiver.held.shift();
    }
}

/** Opens one frame and hands it on if it is what this receiver shows. `news`: it counts for the verdict. */
async function passFrame(receiver: Receiver, frame: EncodedFrame, output: Output, news = true): Promise<FrameResult> {
    const claimed = frame.getMetadata().contributingSources?.[0];
    const data = new Uint8Array(frame.data) as Bytes;
    const kid = ring.peek(receiver.media, data, claimed);
    // What is of somebody else stays closed: it may be shown a moment later, and no frame opens twice.
    const opened: Opened | null = kid && !fits(receiver, kid) ? null : await ring.open(receiver.media, data, claimed, receiver.lane);
    const result = opened?.result ?? "misplaced";
    if (news || (result !== "missing_key" && result !== "misplaced")) receiver.verdict.frame(result, kid, Date.now());
    if (opened?.result === "decrypted") {
        receiver.starved = false;
        if (receivedKind(receiver.media, opened.data) !== "delta") receiver.verdict.begins();
        frame.data = opened.data.buffer;
        output.enqueue(frame);
    } else if (result !== "replayed") {
        receiver.starved = true;
    }
    return result;
}

/** A frame is shown only where the page shows its member: the key that opens it decides, not the focus. */
function fits(receiver: Receiver, { member, source }: Kid): boolean {
    return (receiver.anyone || member === receiver.member) && source === receiver.source;
}

function askKeyFrames(concerned: (receiver: Receiver) => boolean): void {
    for (const receiver of receivers.values()) {
        // Browsers by themselves ask only every 3 s.
        if (receiver.starved && concerned(receiver)) receiver.requestKeyFrame?.().catch(() => undefined);
    }
}

async function take(message: ToWorker): Promise<void> {
    switch (message.type) {
        case "send_key": {
            const kid: Kid = message;
            const first = !sealerOf(message.source).ready;
            const used = await sealerOf(message.source).use(kid, message.key);
            // A first key, or a step for somebody who joined: those who can read from here on need a key frame here.
            if (used && (first || kid.ratchet > 0)) {
                await Promise.allSettled([...(generators.get(message.source) ?? [])].map((generate) => generate()));
                post({ type: "fresh_key", source: message.source });
            }
            return;
        }
        case "receive_key":
            ring.add(message.member, message.source, message.epoch, message.ratchet, message.key);
            askKeyFrames((receiver) => receiver.member === message.member && receiver.source === message.source);
            return;
        case "remove_member":
            ring.removeMember(message.member);
            return;
        case "expect": {
            const receiver = receiverOf(message.receiver);
            const anyone = message.anyone ?? false;
            if (receiver.member === message.member && receiver.source === message.source && receiver.anyone === anyone) return;
            receiver.anyone = anyone;
            receiver.member = message.member;
            receiver.source = message.source;
            receiver.held = receiver.held.filter((frame) => {
                const kid = ring.peek(receiver.media, new Uint8Array(frame.data) as Bytes, undefined);
                return kid !== null && fits(receiver, kid);
            });
            receiver.verdict.reset();
            receiver.starved &&= receiver.held.length === 0;
            askKeyFrames((one) => one === receiver);
            return;
        }
        case "mute":
            if (message.muted) muted.add(message.source);
            else muted.delete(message.source);
            return;
        case "forget":
            for (const name of message.receivers) receivers.delete(name);
            ring.endLane(message.lane);
            return;
        case "streams":
            attach(message.options, message);
            return;
    }
}

setInterval(() => {
    const now = Date.now();
    for (const [name, receiver] of receivers) {
        const report = receiver.verdict.report(now);
        if (report) post({ type: "receiver", receiver: name, report });
    }
    const senders = [...sealers].map(([source, sealer]) => ({
        source,
        sealed: sealer.sealed,
        dropped: sealer.dropped,
        epoch: sealer.step?.epoch ?? null,
        ratchet: sealer.step?.ratchet ?? null,
    }));
    const message: FromWorker = { type: "senders", senders, receiveKeys: ring.size };
    const text = JSON.stringify(message);
    if (text !== lastSenders) post(message);
    lastSenders = text;
}, REPORT_MS);

self.onmessage = (event: MessageEvent<ToWorker>) => {
    take(event.data).catch(() => post({ type: "fault", what: event.data.type }));
};

(self as unknown as { onrtctransform: (event: { transformer: Transformer }) => void }).onrtctransform = ({ transformer }) => {
    attach(transformer.options as TransformOptions, transformer);
};
