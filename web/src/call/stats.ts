// A digest of getStats for tests and for people who look after the service. Numbers only.

import type { Peer } from "./peer.ts";

type Row = Record<string, unknown>;

const RECEIVED = [
    "framesDecoded", "framesReceived", "framesDropped", "frameWidth", "frameHeight", "framesPerSecond", "freezeCount", "keyFramesDecoded",
    "totalSamplesReceived", "concealedSamples", "silentConcealedSamples", "packetsReceived", "packetsLost", "bytesReceived", "pliCount", "nackCount",
    "jitter",
] as const;
const SENT = [
    "rid", "active", "frameWidth", "frameHeight", "framesPerSecond", "framesEncoded", "framesSent", "keyFramesEncoded", "packetsSent", "bytesSent", "pliCount",
    "targetBitrate", "qualityLimitationReason",
] as const;

export interface PeerStats {
    receivers: Row[];
    senders: Row[];
    /** The camera as the browser gets it. */
    camera: Row;
    transport: Row;
    /** By source: the parameters of its encodings, as the browser has them now. */
    parameters: Record<string, Row[]>;
}

/** Of a first connection, and of a second while that takes over. */
export async function digestAll(peers: readonly Peer[]): Promise<PeerStats> {
    const [first, ...more] = await Promise.all(peers.map(digest));
    for (const other of more) {
        first!.receivers.push(...other.receivers);
        first!.senders.push(...other.senders);
    }
    return first!;
}

/** One row per slot (by the media worker's name and mid) and per outgoing encoding. */
async function digest(peer: Peer): Promise<PeerStats> {
    const report = [...(await peer.pc.getStats()).values()] as Row[];
    const inbound = report.filter((row) => row.type === "inbound-rtp");
    const receivers = peer.slots.map(({ name, kind, transceiver }) => {
        const row = inbound.find((one) => one.mid === transceiver.mid);
        return { receiver: name, mid: transceiver.mid, kind, ...pick(row ?? {}, RECEIVED) };
    });
    const senders = report
        .filter((row) => row.type === "outbound-rtp")
        .map((row) => ({ kind: row.kind, source: peer.sourceOf(row.mid), ...pick(row, SENT) }));
    const pair = report.find((row) => row.type === "candidate-pair" && row.state === "succeeded" && row.nominated !== false) ?? {};
    const camera = pick(report.find((row) => row.type === "media-source" && row.kind === "video") ?? {}, ["width", "height", "frames", "framesPerSecond"]);
    const ports = [...new Set(report.filter((row) => row.type === "local-candidate").map(({ port }) => port))];
    return { receivers, senders, camera, parameters: peer.parameters(), transport: { ...pick(pair, ["availableOutgoingBitrate", "currentRoundTripTime", "bytesReceived", "bytesSent"]), ports } };
}

function pick(row: Row, names: readonly string[]): Row {
    return Object.fromEntries(names.filter((name) => row[name] !== undefined).map((name) => [name, row[name]]));
}
