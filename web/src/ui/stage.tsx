import { useEffect, useMemo, useRef } from "preact/hooks";
import type { App } from "../app.ts";
import type { Conference } from "../conference/conference.ts";
import { picture, type TileView } from "../conference/received.ts";
import { displayName } from "../matrix/rooms.ts";
import { spotKey, type Spot } from "../viewing/spotlight.ts";
import { overdue } from "./figures.ts";
import { lockOf, ownLock } from "./lock.ts";
import { Sounds } from "./sounds.tsx";
import { Tile } from "./tile.tsx";
import { tileState } from "./tilestate.ts";

/** Everybody's pictures, where viewing.ts seats them; what cannot be seen is reported back to it. */
export function Stage({ app, conference }: { app: App; conference: Conference }) {
    const { viewing, speakers, gestures } = conference;
    const stage = useRef<HTMLDivElement>(null);
    const watch = useSight(conference);
    useEffect(() => {
        if (!stage.current) return;
        const observer = new ResizeObserver(([entry]) => {
            if (entry) viewing.resize(entry.contentRect.width, entry.contentRect.height, devicePixelRatio);
        });
        observer.observe(stage.current);
        return () => observer.disconnect();
    }, [viewing]);

    const { spots, rects, large, height } = viewing.seats();
    const tiles = new Map(conference.tiles.all().map((tile) => [tile.member, tile]));
    const name = (tile: TileView) => displayName(app.client!, app.room!.roomId, tile.userId);
    const hands = gestures?.hands ?? [];
    const about = (member: number) => ({
        speaking: speakers.speaking.includes(member),
        dominant: speakers.dominant === member,
        hand: hands.indexOf(member) + 1,
        reaction: gestures?.reaction(member) ?? null,
    });
    const sealed = Math.max(0, ...conference.senders.map((sender) => sender.sealed));
    const sending = !conference.muted("audio") || !conference.muted("video") || conference.own.sharing;
    return (
        <div class="stage" ref={stage}>
            {spots.map((spot, i) => {
                const tile = tiles.get(spot.member);
                const shown = tile && picture(tile, spot.source);
                if (!tile || !shown) return null;
                const verdicts = spot.source === "camera" ? [tile.audio.verdict, tile.camera.verdict] : [shown.verdict];
                const key = spotKey(spot);
                return (
                    <Tile
                        key={key}
                        {...spot}
                        id={tile.userId}
                        name={name(tile)}
                        rect={rects[i]}
                        large={i === large}
                        track={shown.track}
                        state={tileState(tile, spot.source, viewing.told(spot).height > 0, (receiver) => conference.quality.of(receiver))}
                        muted={spot.source === "camera" ? { ...tile.muted, video: conference.pictures && tile.muted.video } : { audio: false, video: false }}
                        lock={lockOf(name(tile), verdicts, conference.tiles.missing(tile), overdue(conference.tiles, tile, spot.source))}
                        {...(spot.source === "camera" ? about(spot.member) : QUIET)}
                        watch={watch(key)}
                        onClick={() => viewing.toggle(spot)}
                    />
                );
            })}
            <Tile
                key="own"
                member={null}
                source="camera"
                id={app.account?.userId ?? ""}
                name="You"
                rect={rects[spots.length]}
                large={false}
                track={app.media.tracks.video}
                state={{ visible: app.media.tracks.video !== null, paused: false, grade: "good" }}
                muted={{ audio: conference.muted("audio"), video: conference.pictures && conference.muted("video") }}
                lock={ownLock(sealed, sending)}
                {...about(conference.member ?? 0)}
            />
            {/* Gives the stage its height where there are more tiles than fit. */}
            <div class="extent" style={{ height: `${height}px` }} aria-hidden="true" />
            <Sounds voices={conference.connections.voices()} speaker={app.media.speaker} />
            <Floor app={app} conference={conference} />
        </div>
    );
}

const QUIET = { speaking: false, dominant: false, hand: 0, reaction: null };

/** Who has the floor, for those who do not see the ring. */
function Floor({ app, conference }: { app: App; conference: Conference }) {
    const { dominant } = conference.speakers;
    const tile = conference.tiles.all().find(({ member }) => member === dominant);
    return (
        <p class="unseen" role="status" aria-live="polite">
            {tile ? `${displayName(app.client!, app.room!.roomId, tile.userId)} is speaking` : ""}
        </p>
    );
}

/** Reports tiles that are scrolled or cut out of sight, and the page when it is in the background. */
function useSight(conference: Conference): (key: string) => (element: HTMLElement) => () => void {
    const { viewing } = conference;
    const observer = useMemo(
        () =>
            new IntersectionObserver((entries) => {
                for (const { target, isIntersecting } of entries) {
                    const { member, source } = (target as HTMLElement).dataset;
                    viewing.outOfSight(spotKey({ member: Number(member), source: source as Spot["source"] }), !isIntersecting);
                }
            }),
        [viewing],
    );
    useEffect(() => {
        const look = () => viewing.pageHidden(document.hidden);
        look();
        document.addEventListener("visibilitychange", look);
        const floats = (event: Event) => {
            const { member, source } = (event.target as Element).closest<HTMLElement>("[data-member]")?.dataset ?? {};
            const spot = { member: Number(member), source: source as Spot["source"] };
            const shown = event.type === "enterpictureinpicture" && Number.isInteger(spot.member);
            viewing.floating(shown ? spot : null, (event as PictureInPictureEvent).pictureInPictureWindow?.height);
        };
        for (const type of ["enterpictureinpicture", "leavepictureinpicture"]) document.addEventListener(type, floats);
        return () => {
            observer.disconnect();
            document.removeEventListener("visibilitychange", look);
            for (const type of ["enterpictureinpicture", "leavepictureinpicture"]) document.removeEventListener(type, floats);
        };
    }, [viewing]);
    return () => (element) => {
        observer.observe(element);
        return () => observer.unobserve(element);
    };
}
