// Lost audio asked for again. Browsers have the whole of it (NACK of audio is what they do with each other when told so), but no
// interface that switches it on: the offer has to say it.

/** The offer with `a=rtcp-fb:PT nack` for Opus in every audio section that lacks it. */
export function withAudioRepair(sdp: string): string {
    return sdp
        .split(/(?=^m=)/m)
        .map((section) => {
            const opus = section.startsWith("m=audio") ? /^a=rtpmap:(\d+) opus\/48000\/2\r?$/im.exec(section) : null;
            if (!opus || new RegExp(`^a=rtcp-fb:(${opus[1]}|\\*) nack\\r?$`, "m").test(section)) return section;
            return section.replace(opus[0], `${opus[0].trimEnd()}\r\na=rtcp-fb:${opus[1]} nack${opus[0].endsWith("\r") ? "\r" : ""}`);
        })
        .join("");
}
