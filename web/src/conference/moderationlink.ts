// Ties moderation to the conference room: its power levels, its state, its timeline.

import { RoomStateEvent, type MatrixClient, type Room } from "matrix-js-sdk";
import { guard } from "../guard.ts";
import { listen } from "../matrix/inbox.ts";
import { politely } from "../matrix/send.ts";
import { EVENT } from "../protocol/names.ts";
import type { Pass } from "./admission.ts";
import { Moderation, type ModerationPorts } from "./moderation.ts";

/** What the room asks of whoever removes others, where it says nothing (Matrix specification, m.room.power_levels). */
const KICK_LEVEL = 50;

export function linkModeration(client: MatrixClient, room: Room, pass: Pass, ports: Pick<ModerationPorts, "self" | "asked" | "focused">): { moderation: Moderation; stop: () => void } {
    const { conferenceId } = pass.conference;
    const me = client.getSafeUserId();
    const state = () => room.currentState;
    const moderation = new Moderation({
        ...ports,
        conferenceId,
        me,
        mayAsk: (userId) => {
            const member = room.getMember(userId);
            const kick: unknown = state().getStateEvents("m.room.power_levels", "")?.getContent().kick;
            return member?.membership === "join" && member.powerLevel >= (typeof kick === "number" ? kick : KICK_LEVEL);
        },
        mayFocus: () => state().maySendStateEvent(EVENT.focus, me),
        sendRequest: (content) => politely(() => client.sendEvent(room.roomId, EVENT.muteRequest, content)),
        sendFocus: (content) => politely(() => client.sendStateEvent(room.roomId, EVENT.focus, content, conferenceId)),
    });
    const look = guard("focus event", () => {
        const event = state().getStateEvents(EVENT.focus, conferenceId);
        if (event) moderation.focusArrived(event.getContent());
    });
    const unlisten = listen(
        client,
        room.roomId,
        guard("mute request", ({ type, content, sender, senderKey }) => {
            if (type === EVENT.muteRequest) moderation.requestArrived(content, sender, senderKey !== null);
        }),
    );
    client.on(RoomStateEvent.Update, look);
    look();
    const stop = () => {
        unlisten();
        client.off(RoomStateEvent.Update, look);
    };
    return { moderation, stop };
}
