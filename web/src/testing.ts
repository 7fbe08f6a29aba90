// window.sotto: what machines may read and do. Plain objects and counts; keys, tickets and tokens never come out.
//
//   state()   {screen, phase, status, error, member, roster, tiles, encoder, keys, counters, media}
//   focus(n)  ask for member n in full; null goes back to the grid
//   mute(kind, on)   kind "audio" | "video"; resolves when the track is gone or back
//   leave()   ends this membership
//   stats()   per slot and per outgoing encoding, from getStats

import type { App } from "./app.ts";
import { digest, type PeerStats } from "./call/stats.ts";
import type { Kind } from "./call/peer.ts";
import { counts } from "./guard.ts";

export function exposeForTests(app: App): void {
    const sotto = {
        state: () => state(app),
        focus: (member: number | null) => app.conference?.focus(member),
        mute: (kind: Kind, muted: boolean) => app.conference?.setMuted(kind, muted),
        leave: () => app.leave(),
        stats: async (): Promise<PeerStats | null> => (app.conference ? digest(app.conference.peer) : null),
    };
    Object.defineProperty(window, "sotto", { value: Object.freeze(sotto) });
}

/** The last digest, renewed in the background while somebody looks: not every browser counts frames at the element. */
let lately: { at: number; stats: PeerStats | null } = { at: 0, stats: null };

function decoded(app: App, receiver: string | null): number {
    if (app.conference && Date.now() - lately.at > 500) {
        lately = { at: Date.now(), stats: lately.stats };
        digest(app.conference.peer).then((stats) => (lately.stats = stats), () => undefined);
    }
    return Number(lately.stats?.receivers.find((row) => row.receiver === receiver)?.framesDecoded ?? 0);
}

function state(app: App): object {
    const { conference } = app;
    return {
        screen: app.screen,
        phase: conference?.phase ?? (app.left ? "left" : app.screen),
        status: conference?.status ?? app.status,
        notice: conference?.notice ?? "",
        error: describe(conference?.trouble ?? app.trouble),
        user_id: app.account?.userId ?? null,
        device_id: app.account?.deviceId ?? null,
        member: conference?.member ?? null,
        focused: conference?.focused ?? null,
        in_full: conference?.inFull ?? null,
        media: { audio: app.media.tracks.audio !== null, video: app.media.tracks.video !== null },
        roster: (conference?.roster.list ?? []).map((one) => ({
            member: one.member,
            user_id: one.userId,
            device_id: one.deviceId,
            audio_muted: one.audioMuted,
            video_muted: one.videoMuted,
            sources: one.sources,
        })),
        tiles: (conference?.tiles() ?? []).map((tile) => ({
            member: tile.member,
            user_id: tile.userId,
            audio: { verdict: tile.verdict.audio, muted: tile.muted.audio, receiver: tile.receiver.audio, ...tile.report.audio },
            camera: { verdict: tile.verdict.video, muted: tile.muted.video, receiver: tile.receiver.video, ...tile.report.video },
            ...picture(tile.member, decoded(app, tile.receiver.video)),
        })),
        encoder: conference?.senders ?? [],
        keys: { held: conference?.worker.receiveKeys ?? 0, received: conference?.keys?.received ?? 0 },
        counters: counts(),
    };
}

/** What the tile's video element shows. */
function picture(member: number, decodedByStats: number): object {
    const video = document.querySelector<HTMLVideoElement>(`[data-member="${member}"] video`);
    return {
        framesDecoded: Math.max(decodedByStats, video?.getVideoPlaybackQuality?.().totalVideoFrames ?? 0),
        frameWidth: video?.videoWidth ?? 0,
        frameHeight: video?.videoHeight ?? 0,
        shown: video !== null && video !== undefined && !video.hidden,
    };
}

function describe(trouble: { code: string; message: string } | null): object | null {
    return trouble && { code: trouble.code, message: trouble.message };
}
