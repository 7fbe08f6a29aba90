// What a membership has to do with the conference room: media keys, hands and reactions, tickets for those who come later, and
// whether the room has moved on to another conference.

import { RoomStateEvent, type MatrixClient, type Room } from "matrix-js-sdk";
import type { KeyTransportKind } from "../config.ts";
import type { KeyExchange } from "../keys/exchange.ts";
import { listen } from "../matrix/inbox.ts";
import { watchLeavers } from "../matrix/rooms.ts";
import { serveTickets } from "../matrix/tickets.ts";
import type { Mutable, Spotlit } from "../protocol/moderation.ts";
import type { MediaWorker } from "../sframe/mediaworker.ts";
import type { Pass } from "./admission.ts";
import { linkAnnouncing, type AnnouncingLink } from "./announcinglink.ts";
import { Epochs } from "./epochs.ts";
import { linkGestures } from "./gesturelink.ts";
import type { Gestures } from "./gestures.ts";
import { linkKeys } from "./keylink.ts";
import type { Moderation } from "./moderation.ts";
import { linkModeration } from "./moderationlink.ts";
import type { Roster } from "./roster.ts";

export interface RoomLinkOptions {
    client: MatrixClient;
    room: Room;
    keyTransport: KeyTransportKind;
    ignoreKeys: boolean;
    worker: MediaWorker;
    roster: Roster;
    pass: Pass;
    /** What we announce ends when the homeserver has not heard of us for so long, ms. */
    switchMs: number;
}

export interface RoomLinkPorts {
    /** Our number, once we are in. */
    member(): number | null;
    joined(): boolean;
    /** Of the call that brought us in. */
    callId(): string;
    /** Over the data channel. */
    send(message: object): boolean;
    /** Hands or reactions. */
    changed(): void;
    /** A moderator asks us to turn something off. */
    asked(source: Mutable, by: string): void;
    /** A moderator puts somebody before everybody, or nobody any more. */
    focused(spot: Spotlit | null): void;
    /** The room's state. */
    roomChanged(): void;
}

export interface RoomLink {
    keys: KeyExchange;
    gestures: Gestures;
    epochs: Epochs;
    moderation: Moderation;
    announcement: AnnouncingLink;
    /** All but the announcement, which may outlast our leaving for a moment. */
    stop(): void;
}

export function linkRoom(options: RoomLinkOptions, ports: RoomLinkPorts): RoomLink {
    const { client, room, pass, roster } = options;
    const keys = linkKeys({ client, room, kind: options.keyTransport, pass, worker: options.worker, ignoreOthers: options.ignoreKeys });
    const gestures = linkGestures(client, room, pass, {
        ownerOf: (member) => roster.members.get(member)?.userId ?? null,
        self: () => ports.member(),
        changed: () => ports.changed(),
    });
    // Who starts a conference answers for it from the start; others once they are in.
    const mine = pass.conference.creator === client.getUserId();
    const place = () => (ports.joined() ? roster.list.findIndex(({ member }) => member === ports.member()) : -1);
    const rank = () => (ports.joined() || !mine ? place() : 0);
    const announcement = linkAnnouncing(client, room, pass.conference, options.switchMs, {
        others: () => roster.others(ports.member() ?? 0).map(({ userId }) => userId),
        rank: place,
        ours: () => rank() >= 0,
    });
    announcement.announcing.look();
    const epochs = new Epochs(client, room, pass, { rank: place, callId: () => ports.callId(), send: (message) => ports.send(message) });
    // They know the ticket, whether they were inside or not.
    const unwatch = watchLeavers(client, room.roomId, () => epochs.memberLeft());
    const serve = serveTickets(client, room, pass.conference, () => epochs.ticket, rank);
    const unlisten = listen(client, room.roomId, (event) => {
        epochs.take(event);
        serve(event);
    });
    const watch = () => ports.roomChanged();
    client.on(RoomStateEvent.Update, watch);
    const moderation = linkModeration(client, room, pass, { self: () => ports.member(), asked: ports.asked, focused: ports.focused });
    const stop = () => {
        moderation.stop();
        keys.stop();
        gestures.stop();
        unwatch();
        epochs.close();
        unlisten();
        client.off(RoomStateEvent.Update, watch);
    };
    return { keys: keys.keys, gestures: gestures.gestures, epochs, moderation: moderation.moderation, announcement, stop };
}
