import { useEffect, useRef, useState } from "preact/hooks";
import type { App } from "../app.ts";
import type { Conference } from "../conference/conference.ts";
import type { TileView } from "../conference/received.ts";
import { displayName } from "../matrix/rooms.ts";
import { Icon } from "./icons.tsx";
import { layout } from "./layout.ts";
import { Toggle } from "./lobby.tsx";
import { lockOf, ownLock } from "./lock.ts";
import { Problem, Round, Waiting } from "./parts.tsx";
import { Tile } from "./tile.tsx";

export function Call({ app }: { app: App }) {
    const { conference } = app;
    if (!conference) return null;
    if (conference.phase === "failed") {
        return (
            <main class="centre">
                <div class="card narrow">
                    <h1>{conference.member === null ? "Could not join" : "The call ended"}</h1>
                    <Problem trouble={conference.trouble} />
                    <div class="row">
                        <button class="primary" onClick={() => void app.again()}>
                            Join again
                        </button>
                        <button class="quiet" onClick={() => void app.leave()}>
                            Leave
                        </button>
                    </div>
                </div>
            </main>
        );
    }
    if (conference.phase !== "joined") {
        return (
            <Waiting status={conference.status}>
                <button class="quiet" onClick={() => void app.leave()}>
                    Cancel
                </button>
            </Waiting>
        );
    }
    return (
        <main class="call">
            <Stage app={app} conference={conference} />
            <footer class="controls">
                <p class="roomname">
                    <strong>{app.room?.name}</strong>
                    <span>
                        <Icon name="people" size={15} /> {conference.roster.members.size}
                    </span>
                </p>
                <div class="row">
                    <Toggle app={app} kind="audio" />
                    <Toggle app={app} kind="video" />
                    <Round icon="leave" label="Leave" tone="danger" onClick={() => void app.leave()} />
                </div>
                <p class="notice" role="status" aria-live="polite">
                    {conference.notice || app.media.problem.audio || app.media.problem.video || ""}
                </p>
            </footer>
        </main>
    );
}

function Stage({ app, conference }: { app: App; conference: Conference }) {
    const stage = useRef<HTMLDivElement>(null);
    const [size, setSize] = useState({ width: 0, height: 0 });
    useEffect(() => {
        if (!stage.current) return;
        const observer = new ResizeObserver(([entry]) => {
            if (entry) setSize({ width: entry.contentRect.width, height: entry.contentRect.height });
        });
        observer.observe(stage.current);
        return () => observer.disconnect();
    }, []);

    const tiles = conference.tiles();
    const large = tiles.findIndex(({ member }) => member === conference.inFull);
    const rects = layout(tiles.length + 1, large < 0 ? null : large, size.width, size.height);
    const name = (tile: TileView) => displayName(app.client!, app.room!.roomId, tile.userId);
    const sealed = Math.max(0, ...conference.senders.map((sender) => sender.sealed));
    const sending = !conference.muted("audio") || !conference.muted("video");
    return (
        <div class="stage" ref={stage}>
            {tiles.map((tile, i) => (
                <Tile
                    key={tile.member}
                    member={tile.member}
                    id={tile.userId}
                    name={name(tile)}
                    rect={rects[i]}
                    large={i === large}
                    track={tile.track.video}
                    visible={tile.verdict.video === "decrypting" && !tile.muted.video}
                    muted={tile.muted}
                    lock={lockOf(name(tile), [tile.verdict.audio, tile.verdict.video])}
                    onClick={() => conference.focus(conference.focused === tile.member ? null : tile.member)}
                />
            ))}
            <Tile
                key="own"
                member={null}
                id={app.account?.userId ?? ""}
                name="You"
                rect={rects[tiles.length]}
                large={false}
                track={app.media.tracks.video}
                visible={app.media.tracks.video !== null}
                muted={{ audio: conference.muted("audio"), video: conference.muted("video") }}
                lock={ownLock(sealed, sending)}
            />
            <Sounds conference={conference} tiles={tiles} />
        </div>
    );
}

/** The voices. Browsers play them only after a click on the page; if there was none, one is asked for. */
function Sounds({ tiles }: { conference: Conference; tiles: TileView[] }) {
    const [blocked, setBlocked] = useState(false);
    const elements = useRef(new Map<number, HTMLAudioElement>());
    const playAll = () => {
        setBlocked(false);
        for (const audio of elements.current.values()) audio.play().catch(() => setBlocked(true));
    };
    return (
        <>
            {tiles.map(({ member, track }) => (
                <Sound
                    key={member}
                    track={track.audio}
                    keep={(audio) => (audio ? elements.current.set(member, audio) : elements.current.delete(member))}
                    onBlocked={() => setBlocked(true)}
                />
            ))}
            {blocked && (
                <button class="primary unblock" onClick={playAll}>
                    <Icon name="sound" size={18} /> Turn sound on
                </button>
            )}
        </>
    );
}

function Sound({ track, keep, onBlocked }: { track: MediaStreamTrack | null; keep: (audio: HTMLAudioElement | null) => void; onBlocked: () => void }) {
    const element = useRef<HTMLAudioElement>(null);
    useEffect(() => {
        keep(element.current);
        return () => keep(null);
    }, []);
    useEffect(() => {
        const audio = element.current;
        if (!audio) return;
        audio.srcObject = track ? new MediaStream([track]) : null;
        if (track) audio.play().catch((error: unknown) => error instanceof DOMException && error.name === "NotAllowedError" && onBlocked());
    }, [track]);
    return <audio ref={element} autoplay />;
}
