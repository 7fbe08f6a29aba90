// Olm to-device messages. They are lost without a word when the sender does not know the receiving device yet, so the
// number of messages made is compared with the number wanted, and the rest is tried again.

import { ClientEvent, type MatrixClient } from "matrix-js-sdk";
import { count, guard } from "../../guard.ts";
import { politely } from "../../matrix/send.ts";
import type { Device } from "../exchange.ts";

const ATTEMPTS = 3;
const RETRY_MS = 700;

/** Resolves when the homeserver has the messages for every device; throws when some could not be made. */
export async function sendOlm(client: MatrixClient, type: string, content: Record<string, unknown>, devices: Device[]): Promise<void> {
    const crypto = client.getCrypto();
    if (!crypto) throw new Error("no encryption");
    let left = devices;
    for (let attempt = 1; left.length > 0; attempt++) {
        if (attempt > 1) {
            await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
            await crypto.getUserDeviceInfo([...new Set(left.map(({ userId }) => userId))], true);
        }
        const { eventType, batch } = await crypto.encryptToDeviceMessages(type, left, content);
        const messages = new Map<string, Map<string, Record<string, unknown>>>();
        for (const { userId, deviceId, payload } of batch) {
            const ofUser = messages.get(userId) ?? new Map<string, Record<string, unknown>>();
            messages.set(userId, ofUser.set(deviceId, payload));
        }
        if (batch.length > 0) await politely(() => client.sendToDevice(eventType, messages));
        left = left.filter(({ userId, deviceId }) => !messages.get(userId)?.has(deviceId));
        if (left.length > 0 && attempt >= ATTEMPTS) {
            count("device unknown to Olm");
            // The one who missed it will ask; those who have it need not wait for that.
            if (left.length === devices.length) throw new Error("no device reached");
            return;
        }
    }
}

/** Encrypted to-device messages with the device that sent them; those in clear are dropped. */
export function listenOlm(client: MatrixClient, handler: (type: string, content: unknown, from: Device) => void): () => void {
    const onMessage = guard("to-device message", (received: {
        message: { type: string; content: unknown };
        encryptionInfo: { sender: string; senderDevice?: string } | null;
    }) => {
        const { message, encryptionInfo } = received;
        if (!encryptionInfo?.senderDevice) return;
        handler(message.type, message.content, { userId: encryptionInfo.sender, deviceId: encryptionInfo.senderDevice });
    });
    client.on(ClientEvent.ReceivedToDeviceMessage, onMessage);
    return () => client.off(ClientEvent.ReceivedToDeviceMessage, onMessage);
}
