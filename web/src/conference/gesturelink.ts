// Ties raised hands and reactions to the conference room.

import type { MatrixClient, Room } from "matrix-js-sdk";
import { listen } from "../matrix/inbox.ts";
import { politely } from "../matrix/send.ts";
import type { Pass } from "./admission.ts";
import { Gestures, type GesturePorts } from "./gestures.ts";

export function linkGestures(
    client: MatrixClient,
    room: Room,
    pass: Pass,
    ports: Pick<GesturePorts, "ownerOf" | "self" | "changed">,
): { gestures: Gestures; stop: () => void } {
    const gestures = new Gestures({
        ...ports,
        conferenceId: pass.conference.conferenceId,
        send: (type, content) => politely(() => client.sendEvent(room.roomId, type, content)),
        now: () => Date.now(),
    });
    const unlisten = listen(client, room.roomId, ({ type, content, sender, senderKey }) =>
        gestures.arrived({ type, content, sender, encrypted: senderKey !== null }),
    );
    const stop = () => {
        unlisten();
        gestures.close();
    };
    return { gestures, stop };
}
