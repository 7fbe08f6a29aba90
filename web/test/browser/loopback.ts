// Two peer connections in one page, with the real media worker on both ends: what leaves without a key, what a receiver
// says without, with a wrong and with the right key, and what it says of a sender that does not encrypt.

import { fromHex } from "../../src/bytes.ts";
import { preferCodecs } from "../../src/call/codecs.ts";
import { connectionOptions, MediaWorker } from "../../src/sframe/mediaworker.ts";
import type { Report } from "../../src/sframe/verdict.ts";

const KEY = fromHex("000102030405060708090a0b0c0d0e0f");
const OTHER = fromHex("ffeeddccbbaa99887766554433221100");
/** What takes a moment where the machine has time. */
const PATIENCE_MS = 60000;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!(await condition())) {
        if (performance.now() > end) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
        await sleep(10);
    }
}

interface Ends {
    sender: RTCPeerConnection;
    receiver: RTCPeerConnection;
    reports: Map<string, Report>;
    worker: MediaWorker;
    tracks: MediaStreamTrack[];
}

async function connect(encrypting: boolean): Promise<Ends> {
    const options = { ...connectionOptions } as RTCConfiguration;
    const [sender, receiver] = [new RTCPeerConnection(options), new RTCPeerConnection(options)];
    const worker = new MediaWorker();
    const reports = new Map<string, Report>();
    worker.onreceiver = (name, report) => reports.set(name, report);
    sender.onicecandidate = ({ candidate }) => void receiver.addIceCandidate(candidate ?? undefined);
    receiver.onicecandidate = ({ candidate }) => void sender.addIceCandidate(candidate ?? undefined);
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360 } });
    for (const track of stream.getTracks()) {
        const transceiver = sender.addTransceiver(track, { direction: "sendonly", streams: [stream] });
        const kind = track.kind as "audio" | "video";
        preferCodecs(transceiver, kind);
        if (encrypting) worker.attach(transceiver.sender, { side: "send", source: kind === "audio" ? 0 : 1, media: kind });
        else if ("encodedInsertableStreams" in options) {
            const { readable, writable } = (transceiver.sender as unknown as { createEncodedStreams(): TransformStream }).createEncodedStreams();
            void readable.pipeTo(writable);
        }
    }
    receiver.ontrack = ({ track, transceiver }) => {
        const kind = track.kind as "audio" | "video";
        worker.attach(transceiver.receiver, { side: "receive", receiver: kind, media: kind, lane: 0 });
        worker.post({ type: "expect", receiver: kind, member: 7, source: kind === "audio" ? 0 : 1 });
        if (kind === "video") document.querySelector("video")!.srcObject = new MediaStream([track]);
    };
    await sender.setLocalDescription();
    await receiver.setRemoteDescription(sender.localDescription!);
    await receiver.setLocalDescription();
    await sender.setRemoteDescription(receiver.localDescription!);
    return { sender, receiver, reports, worker, tracks: stream.getTracks() };
}

async function received(ends: Ends): Promise<{ decoded: number; packets: number }> {
    const rows = [...(await ends.receiver.getStats()).values()].filter((row) => row.type === "inbound-rtp");
    const video = rows.find((row) => row.kind === "video");
    return { decoded: video?.framesDecoded ?? 0, packets: rows.reduce((sum, row) => sum + (row.packetsReceived ?? 0), 0) };
}

async function encoded(ends: Ends): Promise<number> {
    const rows = [...(await ends.sender.getStats()).values()].filter((row) => row.type === "outbound-rtp" && row.kind === "video");
    return rows.reduce((sum, row) => sum + (row.framesEncoded ?? 0), 0);
}

function keys(ends: Ends, type: "send_key" | "receive_key", key: typeof KEY, epoch = 0): void {
    for (const source of [0, 1]) ends.worker.post({ type, member: 7, source, epoch, ratchet: 0, key });
}

function verdicts(ends: Ends): string {
    return `${ends.reports.get("audio")?.verdict} ${ends.reports.get("video")?.verdict}`;
}

function close(ends: Ends): void {
    ends.sender.close();
    ends.receiver.close();
    ends.worker.close();
    for (const track of ends.tracks) track.stop();
}

async function main(): Promise<Record<string, unknown>> {
    const result: Record<string, unknown> = {};
    const ends = await connect(true);
    await until("connected", () => ends.receiver.connectionState === "connected");
    await until("pictures are encoded", async () => (await encoded(ends)) > 3);
    result.withoutKey = await received(ends);
    keys(ends, "send_key", KEY);
    await until("the key is missing", () => verdicts(ends) === "missing_key missing_key");
    result.keyMissing = { ...(await received(ends)), verdicts: verdicts(ends) };
    keys(ends, "receive_key", OTHER);
    await until("the key is wrong", () => verdicts(ends) === "wrong_key wrong_key");
    result.wrongKey = { ...(await received(ends)), verdicts: verdicts(ends) };
    // Of two keys for one number the first stays: the right one comes with the next epoch.
    keys(ends, "receive_key", KEY);
    keys(ends, "receive_key", KEY, 1);
    keys(ends, "send_key", KEY, 1);
    await until("it is decrypted", async () => verdicts(ends) === "decrypting decrypting" && (await received(ends)).decoded > 10);
    result.decrypting = { ...(await received(ends)), verdicts: verdicts(ends), counts: ends.reports.get("video")?.counts };
    close(ends);

    const plain = await connect(false);
    await until("nothing is encrypted", () => verdicts(plain) === "not_encrypted not_encrypted");
    result.inClear = { ...(await received(plain)), verdicts: verdicts(plain) };
    close(plain);
    return result;
}

declare global {
    interface Window {
        result: Promise<Record<string, unknown>>;
    }
}
window.result = main();
