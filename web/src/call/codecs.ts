// Only VP8 and Opus are offered. Fewer codecs keep the invite small (103 kB becomes 37 kB at 16 slots), and leave no
// redundancy format in which a frame would travel in clear.

const WANTED: Record<"audio" | "video", string> = { audio: "audio/opus", video: "video/vp8" };

export function preferCodecs(transceiver: RTCRtpTransceiver, kind: "audio" | "video"): void {
    const codecs = RTCRtpReceiver.getCapabilities(kind)?.codecs ?? [];
    // Without video/rtx in the list browsers offer no retransmission.
    const wanted = codecs.filter(({ mimeType }) => [WANTED[kind], `${kind}/rtx`].includes(mimeType.toLowerCase()));
    if (wanted.length > 0) transceiver.setCodecPreferences(wanted);
}
