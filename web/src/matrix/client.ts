// A running Matrix client: encryption ready and the first sync done.

import { ClientEvent, createClient, type MatrixClient, MemoryStore, SyncState } from "matrix-js-sdk";
import { Trouble } from "../protocol/errors.ts";
import { databasePrefix, type Account } from "./login.ts";
import { silentLogger } from "./silence.ts";

/** Enough to hold a running conference's announcements and keys of the last minutes without asking again. */
const INITIAL_EVENTS = 30;

const CATCH_UP_MS = 500;

export async function startClient(account: Account): Promise<MatrixClient> {
    const client = createClient({
        baseUrl: account.homeserver,
        userId: account.userId,
        deviceId: account.deviceId,
        accessToken: account.accessToken,
        store: new MemoryStore(),
        cryptoCallbacks: {},
        // The library's own call handler would answer the calls this client makes.
        disableVoip: true,
        logger: silentLogger,
    });
    await client.initRustCrypto({ useIndexedDB: account.kept, cryptoDatabasePrefix: databasePrefix(account.deviceId) });
    const ready = new Promise<void>((resolve, reject) => {
        client.on(ClientEvent.Sync, (state) => {
            if (state === SyncState.Prepared) resolve();
            else if (state === SyncState.Error) reject(new Trouble("homeserver_unreachable"));
        });
    });
    await client.startClient({ initialSyncLimit: INITIAL_EVENTS, disablePresence: true });
    await ready;
    if (account.returning) await caughtUp(client);
    return client;
}

/**
 * Synapse answers a device's first sync from a cache for two minutes, so after a reload it is the state of the last visit,
 * and the next sync, which returns at once, has the news. When there is none it waits; then so long is enough.
 */
function caughtUp(client: MatrixClient): Promise<void> {
    return new Promise((resolve) => {
        const timer = setTimeout(resolve, CATCH_UP_MS);
        client.once(ClientEvent.Sync, () => {
            clearTimeout(timer);
            resolve();
        });
    });
}
