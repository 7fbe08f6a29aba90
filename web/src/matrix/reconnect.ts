// A homeserver that comes back is noticed soon: the library asks again after 5 to 10 s, and what the homeserver ended
// meanwhile has to be carried on before newcomers begin anew.

import { ClientEvent, Method, SyncState, type MatrixClient } from "matrix-js-sdk";
import { SWITCH_RETRY_MS } from "../protocol/limits.ts";

/** Longer: one connection that leads nowhere holds up the next attempt. */
const ANSWER_MS = 5000;

export type Reconnecting = Pick<MatrixClient, "getSyncState" | "retryImmediately" | "on" | "off"> & { http: Pick<MatrixClient["http"], "request"> };

/** Until the returned function is called. One question at a time, and none while sync works. */
export function reconnectSoon(client: Reconnecting): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const lost = () => [SyncState.Error, SyncState.Reconnecting].includes(client.getSyncState()!);
    const look = () => {
        if (over || timer !== undefined || !lost()) return;
        timer = setTimeout(() => void ask(), SWITCH_RETRY_MS);
    };
    const ask = async () => {
        try {
            await client.http.request(Method.Get, "/_matrix/client/versions", undefined, undefined, { prefix: "", localTimeoutMs: ANSWER_MS });
            if (!over && lost()) client.retryImmediately();
        } catch {
            // It is still away.
        }
        timer = undefined;
        look();
    };
    client.on(ClientEvent.Sync, look);
    look();
    return () => {
        over = true;
        clearTimeout(timer);
        client.off(ClientEvent.Sync, look);
    };
}
