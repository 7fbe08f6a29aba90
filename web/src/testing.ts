// window.sotto: what machines may read and do. Plain objects and counts; keys, tickets and tokens never come out.
// web/README.md lists it.

import type { App } from "./app.ts";
import type { PeerStats } from "./call/stats.ts";
import type { Kind } from "./call/peer.ts";
import type { Conference } from "./conference/conference.ts";
import type { Shown, TileView } from "./conference/received.ts";
import type { Heeded } from "./conference/tiles.ts";
import { counts } from "./guard.ts";
import type { Conference as Announced } from "./protocol/events.ts";
import type { Mutable, Spotlit } from "./protocol/moderation.ts";
import type { PictureSource } from "./protocol/names.ts";
import type { View } from "./viewing/spotlight.ts";

export function exposeForTests(app: App): void {
    const sotto = {
        state: () => state(app),
        focus: (member: number | null) => app.conference?.focus(member),
        pin: (member: number, source: PictureSource = "camera") => app.conference?.viewing.pin({ member, source }),
        view: (view: View) => app.conference?.viewing.setView(view),
        mute: (kind: Kind, muted: boolean) => app.conference?.control.setMuted(kind, muted),
        share: (on: boolean) => app.conference?.control.share(on),
        raise: (on: boolean) => app.conference?.gestures?.raise(on),
        react: (key: string) => app.conference?.gestures?.react(key),
        askToMute: (member: number, source: Mutable) => app.conference?.moderation?.askToMute(member, source),
        focusForAll: (spot: Spotlit | null) => app.conference?.moderation?.setFocus(spot),
        restart: () => app.conference?.connections.restart(),
        leave: () => app.leave(),
        stats: async (): Promise<PeerStats | null> => app.conference?.connections.stats() ?? null,
    };
    Object.defineProperty(window, "sotto", { value: Object.freeze(sotto) });
}

/** The last digest, renewed in the background while somebody looks: not every browser counts frames at the element. */
let lately: { at: number; stats: PeerStats | null } = { at: 0, stats: null };

function decoded(app: App, receiver: string | null): number {
    if (app.conference && Date.now() - lately.at > 500) {
        lately = { at: Date.now(), stats: lately.stats };
        app.conference.connections.stats().then((stats) => (lately.stats = stats), () => undefined);
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
        resumed: conference?.connections.resumed ?? 0,
        restarts: conference?.connections.restarts ?? 0,
        moving: conference?.connections.moving ?? false,
        conference: announcedState(conference),
        conferences: app.running.map((one) => ({ ...named(one), chosen: app.chosen?.conferenceId === one.conferenceId })),
        media: { audio: app.media.tracks.audio !== null, video: app.media.tracks.video !== null, screen: conference?.own.sharing ?? false },
        roster: (conference?.roster.list ?? []).map((one) => ({
            member: one.member,
            user_id: one.userId,
            device_id: one.deviceId,
            audio_muted: one.audioMuted,
            video_muted: one.videoMuted,
            sources: one.sources,
        })),
        tiles: (conference?.tiles.all() ?? []).map((tile) => tileState(app, conference!, tile)),
        ...viewingState(conference),
        encoder: conference?.senders ?? [],
        keys: { held: conference?.worker.receiveKeys ?? 0, received: conference?.keys?.received ?? 0 },
        counters: counts(),
    };
}

function announcedState(conference: Conference | null): object | null {
    const { announced, announcement, elsewhere } = conference ?? {};
    return announced
        ? { ...named(announced), announcers: announcement?.announcers() ?? [], secured: announcement?.announcing.secured ?? false, elsewhere: elsewhere?.conferenceId ?? null }
        : null;
}

function named({ conferenceId, creator, intent, members, createdTs }: Announced): object {
    return { id: conferenceId, creator, intent, members, created_ts: createdTs };
}

function viewingState(conference: Conference | null): object {
    const spot = conference?.viewing.spotlight;
    const large = conference?.viewing.large ?? null;
    return {
        focused: spot?.pinned?.source === "camera" ? spot.pinned.member : null,
        in_full: large?.source === "camera" ? large.member : null,
        large,
        pinned: spot?.pinned ?? null,
        common: spot?.common ?? null,
        moderator: conference?.moderation?.mayAsk ?? false,
        view: spot?.view ?? "grid",
        away: conference?.viewing.away ?? false,
        hidden: document.hidden,
        wishes: [...(conference?.viewing.wishes().values() ?? [])].map(({ spot, wish }) => ({ ...spot, ...wish })),
        speakers: conference?.speakers ?? null,
        viewers: Object.fromEntries(conference?.viewers ?? []),
        hands: conference?.gestures?.hands ?? [],
        reactions: (conference?.roster.list ?? []).flatMap(({ member }) => {
            const key = conference?.gestures?.reaction(member);
            return key ? [{ member, key }] : [];
        }),
        voices: (conference?.connections.voices() ?? []).map(({ receiver, loudest }) => ({ receiver, ...conference!.connections.received.carried(receiver), loudest })),
    };
}

function tileState(app: App, conference: Conference, tile: TileView): object {
    const source = (shown: Shown, muted: boolean) => ({
        verdict: shown.verdict,
        overdue: conference.tiles.overdue(tile, shown.source as Heeded),
        muted,
        receiver: shown.receiver,
        layer: shown.layer,
        quality: conference.quality.of(shown.receiver),
        ...shown.report,
    });
    return {
        member: tile.member,
        user_id: tile.userId,
        audio: source(tile.audio, tile.muted.audio),
        camera: source(tile.camera, tile.muted.video),
        screen: tile.screen && { ...source(tile.screen, false), ...picture(tile.member, "screen", decoded(app, tile.screen.receiver)) },
        ...picture(tile.member, "camera", decoded(app, tile.camera.receiver)),
    };
}

/** What the tile's video element shows. */
function picture(member: number, source: PictureSource, decodedByStats: number): object {
    const tile = document.querySelector(`[data-member="${member}"][data-source="${source}"]`);
    const video = tile?.querySelector("video");
    return {
        framesDecoded: Math.max(decodedByStats, video?.getVideoPlaybackQuality?.().totalVideoFrames ?? 0),
        frameWidth: video?.videoWidth ?? 0,
        frameHeight: video?.videoHeight ?? 0,
        shown: video !== null && video !== undefined && !video.hidden,
        note: tile?.querySelector(".why")?.textContent ?? "",
    };
}

function describe(trouble: { code: string; message: string } | null): object | null {
    return trouble && { code: trouble.code, message: trouble.message };
}
