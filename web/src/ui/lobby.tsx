import { useEffect, useState } from "preact/hooks";
import type { App } from "../app.ts";
import type { Choice } from "../call/localmedia.ts";
import type { Kind } from "../call/peer.ts";
import { Icon } from "./icons.tsx";
import { Avatar, Picture, Problem, Round } from "./parts.tsx";

export function Lobby({ app }: { app: App }) {
    const { media, room } = app;
    const running = app.conferenceRuns;
    return (
        <main class="page">
            <header class="bar">
                {app.flags.demo === null && (
                    <button class="quiet" onClick={() => app.backToRooms()}>
                        <Icon name="back" size={18} /> Rooms
                    </button>
                )}
                <span class="who">{app.account?.userId}</span>
            </header>
            <section class="lobby">
                <div class="preview tile">
                    {media.tracks.video ? <Picture track={media.tracks.video} mirrored /> : <Avatar name={app.account?.userId ?? ""} id={app.account?.userId ?? ""} />}
                    {!media.tracks.video && <p class="note">{media.problem.video ?? "Your camera is off"}</p>}
                    <div class="controls over">
                        <Toggle app={app} kind="audio" />
                        <Toggle app={app} kind="video" />
                    </div>
                </div>
                <div class="card narrow">
                    <h1>{room?.name}</h1>
                    <p class="hint">
                        <Icon name="lock" size={15} /> {running ? "A conference is running here." : "No conference is running here yet."} Sound and picture are
                        encrypted from device to device; the server in between cannot open them.
                    </p>
                    <Problem trouble={app.trouble} />
                    <Devices app={app} kind="audio" label="Microphone" />
                    <Devices app={app} kind="video" label="Camera" />
                    <button class="primary" onClick={() => void app.join()}>
                        {running ? "Join" : "Start conference"}
                    </button>
                </div>
            </section>
        </main>
    );
}

export function Toggle({ app, kind }: { app: App; kind: Kind }) {
    const on = app.media.wanted[kind] && app.media.tracks[kind] !== null;
    const device = kind === "audio" ? "microphone" : "camera";
    const icon = kind === "audio" ? (on ? "mic" : "micOff") : on ? "camera" : "cameraOff";
    return (
        <Round
            icon={icon}
            label={on ? `Turn ${device} off` : `Turn ${device} on`}
            pressed={!on}
            tone={on ? undefined : "off"}
            onClick={() => void app.media.setOn(kind, !on)}
        />
    );
}

function Devices({ app, kind, label }: { app: App; kind: Kind; label: string }) {
    const [choices, setChoices] = useState<Choice[]>([]);
    const track = app.media.tracks[kind];
    useEffect(() => {
        const list = () => void app.media.choices(kind).then(setChoices);
        list();
        navigator.mediaDevices.addEventListener("devicechange", list);
        return () => navigator.mediaDevices.removeEventListener("devicechange", list);
        // Names of devices are told only once one of them was allowed.
    }, [app, kind, track]);
    const chosen = app.media.chosen[kind] ?? track?.getSettings().deviceId ?? "";
    const problem = app.media.problem[kind];
    return (
        <label>
            {label}
            <select value={chosen} disabled={choices.length === 0} onChange={(e) => void app.media.choose(kind, e.currentTarget.value)}>
                {choices.length === 0 && <option value="">None found</option>}
                {choices.map((choice) => (
                    <option key={choice.deviceId} value={choice.deviceId}>
                        {choice.label}
                    </option>
                ))}
            </select>
            {problem && (
                <small class="note" role="alert">
                    {problem}
                </small>
            )}
        </label>
    );
}
