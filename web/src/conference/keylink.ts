// Ties the key exchange of one conference to its room, to Olm and to the media worker.

import { type MatrixClient, type MatrixEvent, type Room, type RoomMember, RoomMemberEvent } from "matrix-js-sdk";
import type { KeyTransportKind } from "../config.ts";
import { count, guard } from "../guard.ts";
import { KeyExchange } from "../keys/exchange.ts";
import { KeyTransport } from "../keys/transport/transport.ts";
import { listen, read, type Incoming } from "../matrix/inbox.ts";
import { CLOCK_SKEW_MS } from "../protocol/limits.ts";
import { EVENT, SOURCES, type Source } from "../protocol/names.ts";
import type { MediaWorker } from "../sframe/mediaworker.ts";
import type { Pass } from "./admission.ts";

/** A screen may be shared at any time: its key is there by then, and changes with the others. */
const SENT_SOURCES: Source[] = [...SOURCES];

export interface KeyLinkOptions {
    client: MatrixClient;
    room: Room;
    kind: KeyTransportKind;
    pass: Pass;
    worker: MediaWorker;
    ignoreOthers: boolean;
}

/** Listens from before our own joining on, so that no key is missed. Returns the exchange and how to stop. */
export function linkKeys({ client, room, kind, pass, worker, ignoreOthers }: KeyLinkOptions): { keys: KeyExchange; stop: () => void } {
    const transport = new KeyTransport(client, room.roomId, kind);
    const self = { userId: client.getSafeUserId(), deviceId: client.getDeviceId() ?? "" };
    const keys = new KeyExchange(
        { conferenceId: pass.conference.conferenceId, self, sources: SENT_SOURCES, ignoreOthers },
        {
            broadcast: (content, members) => transport.broadcast(content, members),
            sendKeysTo: (content, device) => transport.sendKeysTo(content, device),
            requestFrom: (request, device) => transport.requestFrom(request, device),
            install: (type, member, key) => worker.post({ type, member, ...key }),
            drop: (member) => worker.post({ type: "remove_member", member }),
            isInRoom: (userId) => room.getMember(userId)?.membership === "join",
            now: () => Date.now() / 1000,
        },
    );
    const take = guard("room event", (event: Incoming) => {
        if (event.type === EVENT.mediaKeys) return transport.timelineKeys(event, keys);
    });
    const onMembership = guard("room member", (_event: MatrixEvent, { roomId, userId }: RoomMember) => {
        if (roomId === room.roomId) keys.roomChanged(userId);
    });
    client.on(RoomMemberEvent.Membership, onMembership);
    const stops = [transport.listen(keys), listen(client, room.roomId, take), () => client.off(RoomMemberEvent.Membership, onMembership)];
    // Keys sent before this call began; those that are still sealed come through `listen` once they are open.
    for (const event of room.getLiveTimeline().getEvents()) {
        if (event.getTs() < pass.conference.createdTs - CLOCK_SKEW_MS) continue;
        client.decryptEventIfNeeded(event).catch(() => count("event not decrypted"));
        const incoming = read(event);
        if (incoming) take(incoming);
    }
    const stop = () => {
        for (const each of stops) each();
        keys.stop();
    };
    return { keys, stop };
}
