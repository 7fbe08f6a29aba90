// Signing in. The access token lives in memory only. What is remembered between visits is the device id and, in
// IndexedDB, that device's encryption keys, so that signing in again does not make a new device each time.

import { createClient, MatrixError } from "matrix-js-sdk";
import { Trouble } from "../protocol/errors.ts";
import { silentLogger } from "./silence.ts";

export interface Account {
    homeserver: string;
    userId: string;
    deviceId: string;
    accessToken: string;
    /** The device's keys are kept; otherwise it is new and forgotten when the page closes. */
    kept: boolean;
    /** The device existed before this sign-in, so it may be able to read older events. */
    returning: boolean;
}

/** `keep` false: always a new device with its keys in memory. */
export async function signIn(homeserver: string, user: string, password: string, keep: boolean): Promise<Account> {
    const remembered = keep ? recall(homeserver, user) : null;
    // Two clients on one key database destroy it. Another tab has it: be a device of our own instead.
    const usable = remembered !== null && (await databaseExists(remembered)) && (await lockDevice(remembered));
    const account = await login(homeserver, user, password, usable ? remembered : undefined);
    if (usable && !(await deviceIsKnown(account))) {
        // Somebody signed this device out elsewhere. Its keys count nothing any more; start as a new one.
        forget(homeserver, user);
        return signIn(homeserver, user, password, keep);
    }
    const kept = keep && (usable || (remembered === null && (await lockDevice(account.deviceId))));
    if (kept && !usable) remember(homeserver, user, account.deviceId);
    return { ...account, kept, returning: usable };
}

async function login(homeserver: string, user: string, password: string, deviceId?: string) {
    const client = createClient({ baseUrl: homeserver, logger: silentLogger, disableVoip: true });
    try {
        const response = await client.loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user },
            password,
            device_id: deviceId,
            initial_device_display_name: "Sotto in a browser",
        });
        return { homeserver, userId: response.user_id, deviceId: response.device_id, accessToken: response.access_token };
    } catch (error) {
        throw loginTrouble(error);
    }
}

function loginTrouble(error: unknown): Trouble {
    if (!(error instanceof MatrixError)) return new Trouble("homeserver_unreachable");
    if (error.httpStatus === 429) return new Trouble("rate_limited");
    return error.httpStatus === 403 ? new Trouble("login_refused") : new Trouble("homeserver_unreachable", error.error ?? "");
}

async function deviceIsKnown(account: Omit<Account, "kept" | "returning">): Promise<boolean> {
    const client = createClient({
        baseUrl: account.homeserver,
        userId: account.userId,
        deviceId: account.deviceId,
        accessToken: account.accessToken,
        logger: silentLogger,
        disableVoip: true,
    });
    try {
        const keys = await client.downloadKeysForUsers([account.userId]);
        return account.deviceId in (keys.device_keys[account.userId] ?? {});
    } catch {
        return true;
    }
}

/** Ends the device of an account that is not kept, also while the page goes away. */
export function discardDevice(account: Account): void {
    if (account.kept) return;
    fetch(`${account.homeserver}/_matrix/client/v3/logout`, {
        method: "POST",
        headers: { Authorization: `Bearer ${account.accessToken}` },
        keepalive: true,
    }).catch(() => undefined);
}

export function databasePrefix(deviceId: string): string {
    return `sotto-${deviceId}`;
}

async function databaseExists(deviceId: string): Promise<boolean> {
    try {
        const prefix = databasePrefix(deviceId);
        return (await indexedDB.databases()).some((database) => database.name?.startsWith(prefix));
    } catch {
        return false;
    }
}

/** Holds the device for this page until it closes; false when another page has it. */
function lockDevice(deviceId: string): Promise<boolean> {
    if (!navigator.locks) return Promise.resolve(false);
    return new Promise((resolve) => {
        navigator.locks
            .request(databasePrefix(deviceId), { ifAvailable: true }, (lock) => {
                resolve(lock !== null);
                return lock === null ? undefined : new Promise<void>(() => undefined);
            })
            .catch(() => resolve(false));
    });
}

function place(homeserver: string, user: string): string {
    return `sotto device ${homeserver} ${user}`;
}

function recall(homeserver: string, user: string): string | null {
    return localStorage.getItem(place(homeserver, user));
}

function remember(homeserver: string, user: string, deviceId: string): void {
    localStorage.setItem(place(homeserver, user), deviceId);
}

function forget(homeserver: string, user: string): void {
    localStorage.removeItem(place(homeserver, user));
}
