// The two ways media keys may take through Matrix, chosen in the server's configuration. Both are always listened to:
// a key that was asked for comes by Olm whatever the way of the rest.

import type { MatrixClient } from "matrix-js-sdk";
import type { KeyTransportKind } from "../../config.ts";
import { count } from "../../guard.ts";
import { isDevice, type Incoming } from "../../matrix/inbox.ts";
import { politely } from "../../matrix/send.ts";
import { isEncrypted } from "../../matrix/rooms.ts";
import { mediaKeysContent, parseKeyRequest, parseMediaKeys, keyRequestContent, type KeyRequest, type MediaKeys } from "../../protocol/events.ts";
import { EVENT } from "../../protocol/names.ts";
import type { Device, KeyExchange } from "../exchange.ts";
import { listenOlm, sendOlm } from "./olm.ts";

export class KeyTransport {
    readonly #client: MatrixClient;
    readonly #roomId: string;
    readonly #kind: KeyTransportKind;

    constructor(client: MatrixClient, roomId: string, kind: KeyTransportKind) {
        this.#client = client;
        this.#roomId = roomId;
        this.#kind = kind;
    }

    async broadcast(keys: MediaKeys, members: Device[]): Promise<void> {
        if (this.#kind === "to-device") {
            if (members.length > 0) await sendOlm(this.#client, EVENT.mediaKeys, mediaKeysContent(keys), members);
            return;
        }
        const room = this.#client.getRoom(this.#roomId);
        if (!room || !isEncrypted(room)) throw new Error("room not encrypted");
        await politely(() => this.#client.sendEvent(this.#roomId, EVENT.mediaKeys, mediaKeysContent(keys)));
    }

    sendKeysTo(keys: MediaKeys, device: Device): Promise<void> {
        return sendOlm(this.#client, EVENT.mediaKeys, mediaKeysContent(keys), [device]);
    }

    requestFrom(request: KeyRequest, device: Device): Promise<void> {
        return sendOlm(this.#client, EVENT.keyRequest, keyRequestContent(request), [device]);
    }

    /** Feeds what comes by Olm to the exchange. Returns how to stop. */
    listen(exchange: KeyExchange): () => void {
        return listenOlm(this.#client, (type, content, from) => {
            if (type === EVENT.mediaKeys) exchange.keysArrived(parseMediaKeys(content), from);
            else if (type === EVENT.keyRequest) void exchange.requestArrived(parseKeyRequest(content), from).catch(() => count("key request"));
        });
    }

    /** A key event of the conference room: only an encrypted one, and only from the device it names. */
    async timelineKeys(event: Incoming, exchange: KeyExchange): Promise<void> {
        if (event.senderKey === null) return count("media keys in clear");
        const keys = parseMediaKeys(event.content);
        if (!exchange.concerns(keys)) return;
        if (!(await isDevice(this.#client, event.sender, keys.deviceId, event.senderKey))) return count("media keys refused");
        exchange.keysArrived(keys, { userId: event.sender, deviceId: keys.deviceId });
    }
}
