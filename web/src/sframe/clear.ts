// The bytes of a coded frame that stay readable, because packetisers and depacketisers look at them.

export type FrameKind = "audio" | "key" | "delta";

/** VP8 payload header: 10 bytes on a key frame (RFC 6386 section 9.1), 3 otherwise; Opus: the TOC byte. */
const CLEAR: Record<FrameKind, number> = { audio: 1, key: 10, delta: 3 };

/** How many of `length` bytes to leave clear when encrypting. */
export function clearBytes(kind: FrameKind, length: number): number {
    return Math.min(CLEAR[kind], length);
}

/**
 * What a received frame is, by its own first byte rather than by what the packets said of it: the byte is
 * authenticated, the packets' word is not. VP8's lowest bit is 0 on a key frame.
 */
export function receivedKind(media: "audio" | "video", data: Uint8Array): FrameKind {
    if (media === "audio") return "audio";
    return data.length > 0 && (data[0]! & 1) === 0 ? "key" : "delta";
}
