// A member without a user interface: plain WebRTC over the true signalling and data channel protocol (docs/protocol.md).
// Frames are not encrypted end to end: that is measured elsewhere, and costs processors that are short here.

const P = "org.matrix.msc2359";
const NOMINAL = {
    t: { scaleResolutionDownBy: 4, maxBitrate: 150_000, maxFramerate: 15 },
    m: { scaleResolutionDownBy: 2, maxBitrate: 500_000, maxFramerate: 30 },
    f: { scaleResolutionDownBy: 1, maxBitrate: 1_700_000, maxFramerate: 30 },
};
const now = () => performance.timeOrigin + performance.now();
const vp8 = (kind) =>
    RTCRtpReceiver.getCapabilities(kind).codecs.filter(({ mimeType }) =>
        [kind === "audio" ? "audio/opus" : "video/vp8", `${kind}/rtx`].includes(mimeType.toLowerCase()),
    );

globalThis.quality = {
    messages: [], // [ms since 1970, type, content]
    frames: {}, // by mid: [ms since 1970, height] of every decoded picture
    problems: [],

    async offer({ sends, pairs, width, height, rate }) {
        const pc = (this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: [] }));
        this.channel = pc.createDataChannel(P);
        this.channel.onmessage = ({ data }) => this.heard(JSON.parse(data));
        this.stream = new MediaStream();
        const tracks = {};
        if (sends) {
            const got = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width, height, frameRate: rate } });
            for (const track of got.getTracks()) tracks[track.kind] = track;
            tracks.video.contentHint = "motion";
        }
        for (const kind of ["audio", "video"]) {
            if (!sends) continue;
            const encodings = Object.entries(NOMINAL).map(([rid, nominal]) => ({ rid, active: rid === "t", ...nominal }));
            const transceiver = pc.addTransceiver(tracks[kind], {
                direction: "sendonly",
                streams: [this.stream],
                ...(kind === "video" ? { sendEncodings: encodings } : {}),
            });
            transceiver.setCodecPreferences(vp8(kind));
            this[kind] = transceiver.sender;
        }
        for (let i = 0; i < pairs; i++)
            for (const kind of ["audio", "video"]) {
                const transceiver = pc.addTransceiver(kind, { direction: "recvonly" });
                transceiver.setCodecPreferences(vp8(kind));
                if (kind === "video") this.watch(transceiver);
                else this.play(transceiver);
            }
        // As the browser client does: lost audio is asked for again (web/src/call/audiorepair.ts).
        const { sdp } = await pc.createOffer();
        await pc.setLocalDescription({ type: "offer", sdp: sdp.replace(/^a=rtpmap:(\d+) opus.*$/gim, "$&\r\na=rtcp-fb:$1 nack") });
        return { sdp: pc.localDescription.sdp, stream: this.stream.id };
    },

    async answer(sdp) {
        await this.pc.setRemoteDescription({ type: "answer", sdp });
    },

    // When each picture was decoded, without drawing any.
    async watch(transceiver) {
        const reader = new MediaStreamTrackProcessor({ track: transceiver.receiver.track, maxBufferSize: 60 }).readable.getReader();
        for (;;) {
            const { value, done } = await reader.read();
            if (done) return;
            (this.frames[transceiver.mid] ??= []).push([now(), value.displayHeight]);
            value.close();
        }
    },

    // Sound that nobody plays is not decoded.
    play(transceiver) {
        const element = document.body.appendChild(document.createElement("audio"));
        element.srcObject = new MediaStream([transceiver.receiver.track]);
        element.play().catch((error) => this.problems.push(String(error)));
    },

    heard({ type, content }) {
        this.messages.push([now(), type, content]);
        if (type === `${P}.send`) this.adapt(content.sources.camera?.encodings);
        if (type === "m.call.ping") this.say("m.call.pong", {});
        if (type === `${P}.slots`) this.slots = content.slots;
    },

    say(type, content) {
        this.channel.send(JSON.stringify({ type, content }));
    },

    adapt(wanted) {
        if (!wanted || !this.video) return;
        this.adapting = (this.adapting ?? Promise.resolve()).then(async () => {
            const parameters = this.video.getParameters();
            for (const encoding of parameters.encodings) {
                const want = wanted[encoding.rid] ?? { active: false };
                const nominal = NOMINAL[encoding.rid];
                encoding.active = want.active;
                encoding.maxBitrate = want.max_bitrate ?? nominal.maxBitrate;
                encoding.scaleResolutionDownBy = nominal.scaleResolutionDownBy * (want.scale_resolution_down_by ?? 1);
                encoding.maxFramerate = want.max_framerate ?? nominal.maxFramerate;
            }
            await this.video.setParameters(parameters);
        });
        this.adapting.catch((error) => this.problems.push(String(error)));
    },

    subscribe(member, width, height, source = "camera") {
        this.say("m.call.track_subscription", { subscribe: [{ stream_id: String(member), track_id: source, width, height }] });
        return now();
    },

    unsubscribe(member, source = "camera") {
        this.say("m.call.track_subscription", { unsubscribe: [{ stream_id: String(member), track_id: source }] });
        return now();
    },

    mid(member, source = "camera") {
        return this.slots?.find((slot) => slot.member === member && slot.source === source)?.mid ?? null;
    },

    async stats() {
        const rows = [];
        for (const row of (await this.pc.getStats()).values())
            if (["inbound-rtp", "outbound-rtp", "remote-inbound-rtp", "candidate-pair"].includes(row.type)) rows.push({ ...row });
        return { at: now(), rows };
    },
};
document.title = "ready";
