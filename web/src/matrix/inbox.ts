// Events of one room, decrypted, each handed over once; and the device that an encrypted one truly came from.

import { type MatrixClient, type MatrixEvent, MatrixEventEvent, RoomEvent, type Room } from "matrix-js-sdk";
import { count, guard } from "../guard.ts";

export interface Incoming {
    id: string;
    type: string;
    content: unknown;
    sender: string;
    /** Curve25519 key of the sending device, of an event that was encrypted and opened; otherwise null. */
    senderKey: string | null;
    ts: number;
    /** ms since the homeserver took it, by the homeserver's own word */
    age: number;
}

/** Calls `handler` for each live event of the room from others, now or when its key arrives. Returns how to stop. */
export function listen(client: MatrixClient, roomId: string, handler: (event: Incoming) => void): () => void {
    const done = new Set<string>();
    const safe = guard("room event", handler);
    const hand = (event: MatrixEvent): void => {
        const incoming = read(event);
        if (!incoming || incoming.sender === client.getUserId() && isOwnEcho(client, event) || done.has(incoming.id)) return;
        done.add(incoming.id);
        safe(incoming);
    };
    const onTimeline = (event: MatrixEvent, room: Room | undefined, toStart: boolean | undefined): void => {
        if (room?.roomId !== roomId || toStart) return;
        // Where the library does not open an event by itself, this does; `onDecrypted` then hears of it.
        if (event.getWireType() === "m.room.encrypted") client.decryptEventIfNeeded(event).catch(() => count("event not decrypted"));
        hand(event);
    };
    const onDecrypted = (event: MatrixEvent): void => {
        if (event.getRoomId() === roomId) hand(event);
    };
    client.on(RoomEvent.Timeline, onTimeline);
    client.on(MatrixEventEvent.Decrypted, onDecrypted);
    return () => {
        client.off(RoomEvent.Timeline, onTimeline);
        client.off(MatrixEventEvent.Decrypted, onDecrypted);
    };
}

/** null: not readable (yet), or a local echo without an id. */
export function read(event: MatrixEvent): Incoming | null {
    const id = event.getId();
    const sender = event.getSender();
    if (!id || !sender || id.startsWith("~") || event.isBeingDecrypted()) return null;
    if (event.isDecryptionFailure()) {
        count("event not decrypted");
        return null;
    }
    // A homeserver's clear event of one of our encrypted types must never pass for an encrypted one.
    const encrypted = event.getWireType() === "m.room.encrypted";
    if (encrypted && event.getType() === "m.room.encrypted") return null;
    return {
        id,
        type: event.getType(),
        content: event.getContent(),
        sender,
        senderKey: encrypted ? event.getSenderKey() : null,
        ts: event.getTs(),
        age: event.getAge() ?? 0,
    };
}

/** Other devices of the same person are others; this device's own events are not news. */
function isOwnEcho(client: MatrixClient, event: MatrixEvent): boolean {
    const unsigned = event.getUnsigned() as { transaction_id?: string };
    return unsigned.transaction_id !== undefined && event.getSender() === client.getUserId();
}

/** True when `deviceId` of `userId` has this identity key, by its signed device keys. */
export async function isDevice(client: MatrixClient, userId: string, deviceId: string, senderKey: string): Promise<boolean> {
    const crypto = client.getCrypto();
    if (!crypto) return false;
    for (const download of [false, true]) {
        const device = (await crypto.getUserDeviceInfo([userId], download)).get(userId)?.get(deviceId);
        if (device) return device.getIdentityKey() === senderKey;
    }
    return false;
}
