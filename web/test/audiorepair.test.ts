import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { withAudioRepair } from "../src/call/audiorepair.ts";

const OFFER = [
    "v=0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
    "a=rtpmap:111 opus/48000/2",
    "a=rtcp-fb:111 transport-cc",
    "a=rtpmap:63 red/48000/2",
    "m=video 9 UDP/TLS/RTP/SAVPF 96",
    "a=rtpmap:96 VP8/90000",
    "a=rtcp-fb:96 nack",
    "m=audio 9 UDP/TLS/RTP/SAVPF 109",
    "a=rtpmap:109 opus/48000/2",
    "",
].join("\r\n");

describe("an offer that asks for lost audio", () => {
    it("says so for Opus in every audio section, and changes nothing else", () => {
        const changed = withAudioRepair(OFFER);
        assert.deepEqual(
            changed.split("\r\n").filter((line) => !OFFER.split("\r\n").includes(line)),
            ["a=rtcp-fb:111 nack", "a=rtcp-fb:109 nack"],
        );
        assert.equal(changed.split("\r\n").length, OFFER.split("\r\n").length + 2);
        assert.match(changed, /opus\/48000\/2\r\na=rtcp-fb:111 nack\r\na=rtcp-fb:111 transport-cc\r\n/);
    });
    it("is left alone when it says so already, or has no Opus", () => {
        assert.equal(withAudioRepair(withAudioRepair(OFFER)), withAudioRepair(OFFER));
        const other = OFFER.replaceAll("opus", "PCMU");
        assert.equal(withAudioRepair(other), other);
    });
});
