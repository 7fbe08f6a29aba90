import { useState } from "preact/hooks";
import type { App } from "../app.ts";
import type { RoomSummary } from "../matrix/rooms.ts";
import { badge } from "./conferences.ts";
import { Icon } from "./icons.tsx";
import { Avatar, Brand, Problem } from "./parts.tsx";

export function Rooms({ app }: { app: App }) {
    const [filter, setFilter] = useState("");
    const shown = app.rooms.filter(({ name }) => name.toLowerCase().includes(filter.toLowerCase()));
    return (
        <main class="page">
            <header class="bar">
                <Brand />
                <span class="who">{app.account?.userId}</span>
            </header>
            <section class="card list">
                <h1>Choose a room</h1>
                <Problem trouble={app.trouble} />
                {app.rooms.length > 8 && (
                    <input type="search" placeholder="Find a room" aria-label="Find a room" value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />
                )}
                <ul>
                    {shown.map((room) => (
                        <li key={room.roomId}>
                            <RoomButton room={room} open={() => void app.openLobby(room.roomId)} />
                        </li>
                    ))}
                </ul>
                {app.rooms.length === 0 && <p class="hint">You are in no room yet. Join or create an encrypted one in any Matrix client; it appears here.</p>}
            </section>
        </main>
    );
}

function RoomButton({ room, open }: { room: RoomSummary; open: () => void }) {
    const people = room.members === 1 ? "only you" : `${room.members} people`;
    return (
        <button class="room" disabled={!room.encrypted} onClick={open} title={room.encrypted ? "" : "Not encrypted: media keys could not be sent safely"}>
            <Avatar name={room.name} id={room.roomId} />
            <span class="names">
                <strong>{room.name}</strong>
                <small>
                    <Icon name={room.encrypted ? "lock" : "unlock"} size={13} /> {room.encrypted ? `Encrypted, ${people}` : "Not encrypted: no conference possible"}
                </small>
            </span>
            {room.conferences.length > 0 && <span class="badge">{badge(room.conferences)}</span>}
        </button>
    );
}
