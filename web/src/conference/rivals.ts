// Other conferences of the room while we are in one. Pure.

import { sameConference, type Conference } from "../protocol/events.ts";
import { BEGUN_AT_ONCE_MS } from "../protocol/limits.ts";

/**
 * Where the others may be while we are alone: the active conference, if it is newer than ours. `atOnce`: both were begun by people
 * who did not know of each other, so that nobody wanted two.
 */
export function betterPlace(own: Conference, running: Conference[]): { conference: Conference; atOnce: boolean } | null {
    const [active] = running;
    if (!active || sameConference(active, own) || active.createdTs <= own.createdTs) return null;
    return { conference: active, atOnce: active.createdTs - own.createdTs < BEGUN_AT_ONCE_MS };
}
