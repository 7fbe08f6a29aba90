import type { App } from "../app.ts";
import { Choosing } from "./choosing.tsx";
import { Devices, Toggle } from "./devices.tsx";
import { Icon } from "./icons.tsx";
import { Level } from "./level.tsx";
import { Avatar, Picture, Problem } from "./parts.tsx";

export function Lobby({ app }: { app: App }) {
    const { media, room } = app;
    const running = app.running.length;
    const voice = app.intent === "voice";
    const silent = voice ? "Voice only: cameras stay off" : (media.problem.video ?? "Your camera is off");
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
                    {!media.tracks.video && <p class="note">{silent}</p>}
                    <div class="over">
                        <Toggle app={app} kind="audio" />
                        {!voice && <Toggle app={app} kind="video" />}
                    </div>
                    <Level track={media.tracks.audio} />
                </div>
                <div class="card narrow">
                    <h1>{room?.name}</h1>
                    <p class="hint">
                        <Icon name="lock" size={15} /> {RUNNING[Math.min(running, 2)]} Sound and picture are
                        encrypted from device to device; the server in between cannot open them.
                    </p>
                    <Problem trouble={app.trouble} />
                    <Choosing app={app} />
                    <Devices app={app} pictures={!voice} />
                    <button class="primary" onClick={() => void app.join()}>
                        {app.chosen ? "Join" : "Start conference"}
                    </button>
                </div>
            </section>
        </main>
    );
}

const RUNNING = ["No conference is running here yet.", "A conference is running here.", "Several conferences are running here."];
