// State that the homeserver sets by itself after a while, unless it is put off or called off (MSC4140).

import { Method, MatrixError, type MatrixClient } from "matrix-js-sdk";
import { count } from "../guard.ts";
import { DELAYED_EVENTS, EVENT } from "../protocol/names.ts";
import { SWITCHED_OFF } from "./announcements.ts";

/** The end of what this person announces in one room, to come. Ids are secrets: whoever knows one may do all of this. */
export interface DelayedEnds {
    /** null: the homeserver does not do it. */
    schedule(delayMs: number): Promise<string | null>;
    /** False: there is no such any more. Throws when the homeserver is not reached. */
    putOff(id: string): Promise<boolean>;
    callOff(id: string): Promise<void>;
    /** At once, also while the page goes away. */
    bringOn(id: string): void;
    /** Those that pages of this person left behind. */
    pending(): Promise<string[]>;
}

export function delayedEnds(client: MatrixClient, roomId: string): DelayedEnds {
    const prefix = `/_matrix/client/unstable/${DELAYED_EVENTS}`;
    const manage = (id: string, action: string) => client.http.authedRequest(Method.Post, `/delayed_events/${encodeURIComponent(id)}/${action}`, undefined, {}, { prefix });
    return {
        async schedule(delayMs) {
            // One that does not know the parameter would set the event at once.
            if (!(await canDelay(client, delayMs))) return null;
            const path = ["rooms", roomId, "state", EVENT.conference, client.getSafeUserId()].map(encodeURIComponent).join("/");
            const answer: { delay_id?: unknown } = await client.http.authedRequest(Method.Put, `/${path}`, { [`${DELAYED_EVENTS}.delay`]: String(delayMs) }, SWITCHED_OFF);
            return typeof answer.delay_id === "string" ? answer.delay_id : null;
        },
        async putOff(id) {
            try {
                await manage(id, "restart");
                return true;
            } catch (error) {
                if (error instanceof MatrixError && error.httpStatus === 404) return false;
                throw error;
            }
        },
        async callOff(id) {
            await manage(id, "cancel");
        },
        bringOn(id) {
            // Whoever has the id may, signed in or not: the page may be signing out at this very moment.
            fetch(`${client.getHomeserverUrl()}${prefix}/delayed_events/${encodeURIComponent(id)}/send`, { method: "POST", keepalive: true }).catch(() =>
                count("announcement not ended"),
            );
        },
        async pending() {
            const answer: { delayed_events?: unknown } = await client.http.authedRequest(Method.Get, "/delayed_events", undefined, undefined, { prefix });
            const all = Array.isArray(answer.delayed_events) ? (answer.delayed_events as Record<string, unknown>[]) : [];
            return all.filter((one) => one.room_id === roomId && one.type === EVENT.conference).flatMap(({ delay_id: id }) => (typeof id === "string" ? id : []));
        },
    };
}

async function canDelay(client: MatrixClient, delayMs: number): Promise<boolean> {
    if ((await client.getVersions()).unstable_features?.[DELAYED_EVENTS] === true) return true;
    const delays: unknown = ((await client.getCapabilities()) as Record<string, unknown>)[`${DELAYED_EVENTS}.delayed_events`];
    const longest: unknown = typeof delays === "object" && delays !== null ? (delays as Record<string, unknown>).max_delay_ms : undefined;
    return typeof longest === "number" && longest >= delayMs;
}
