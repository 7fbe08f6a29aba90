// Ties the announcement of our conference to its room: who announces it, our own word, the homeserver's switch.

import { RoomStateEvent, type MatrixClient, type Room, type RoomState } from "matrix-js-sdk";
import { guard } from "../guard.ts";
import { announce, announcersOf, runningConferences } from "../matrix/announcements.ts";
import { delayedEnds } from "../matrix/delayedevents.ts";
import { listen } from "../matrix/inbox.ts";
import { reconnectSoon } from "../matrix/reconnect.ts";
import { sameConference, type Conference } from "../protocol/events.ts";
import { EVENT } from "../protocol/names.ts";
import { Announcing, type AnnouncingPorts } from "./announcing.ts";
import { DeadManSwitch } from "./deadman.ts";

export interface AnnouncingLink {
    announcing: Announcing;
    /** Of people in the room, for those who look after it. */
    announcers(): string[];
    stop(): void;
}

export function linkAnnouncing(
    client: MatrixClient,
    room: Room,
    conference: Conference,
    switchMs: number,
    ports: Pick<AnnouncingPorts, "others" | "rank" | "ours">,
): AnnouncingLink {
    const me = client.getSafeUserId();
    const announcers = () => announcersOf(room, conference);
    const announcing = new Announcing({
        ...ports,
        me,
        announcers,
        engaged: () => runningConferences(room).some((one) => !sameConference(one, conference) && announcersOf(room, one).has(me)),
        announce: () => announce(client, room.roomId, conference),
        end: () => announce(client, room.roomId, null),
        deadman: new DeadManSwitch(delayedEnds(client, room.roomId), switchMs),
    });
    const look = guard("announcement", () => announcing.look());
    const onState = (state: RoomState) => {
        if (state.roomId === room.roomId) look();
    };
    client.on(RoomStateEvent.Update, onState);
    // Where the room refused the state it is an event of the timeline.
    const unlisten = listen(client, room.roomId, ({ type }) => {
        if (type === EVENT.conference) look();
    });
    const unwatch = reconnectSoon(client);
    const stop = () => {
        unwatch();
        client.off(RoomStateEvent.Update, onState);
        unlisten();
    };
    return { announcing, announcers: () => [...announcers()], stop };
}
