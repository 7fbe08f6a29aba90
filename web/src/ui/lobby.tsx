import type { App } from "../app.ts";
import { Devices, Toggle } from "./devices.tsx";
import { Icon } from "./icons.tsx";
import { Level } from "./level.tsx";
import { Avatar, Picture, Problem } from "./parts.tsx";

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
                    <div class="over">
                        <Toggle app={app} kind="audio" />
                        <Toggle app={app} kind="video" />
                    </div>
                    <Level track={media.tracks.audio} />
                </div>
                <div class="card narrow">
                    <h1>{room?.name}</h1>
                    <p class="hint">
                        <Icon name="lock" size={15} /> {running ? "A conference is running here." : "No conference is running here yet."} Sound and picture are
                        encrypted from device to device; the server in between cannot open them.
                    </p>
                    <Problem trouble={app.trouble} />
                    <Devices app={app} />
                    <button class="primary" onClick={() => void app.join()}>
                        {running ? "Join" : "Start conference"}
                    </button>
                </div>
            </section>
        </main>
    );
}
