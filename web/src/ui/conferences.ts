// Conferences of a room in words. Pure.

import type { Conference } from "../protocol/events.ts";

/** "Voice only, since 14:32, at most 10 people". `now`: ms. */
export function about({ intent, members, createdTs }: Conference, now: number, locale?: string): string {
    const parts = [intent === "voice" ? "Voice only" : "Video", `since ${since(createdTs, now, locale)}`];
    if (members !== null) parts.push(members === 1 ? "for one person" : `at most ${members} people`);
    return parts.join(", ");
}

function since(ts: number, now: number, locale?: string): string {
    const [then, today] = [new Date(ts), new Date(now)];
    const time = then.toLocaleTimeString(locale, { timeStyle: "short" });
    return then.toDateString() === today.toDateString() ? time : `${then.toLocaleDateString(locale, { day: "numeric", month: "short" })}, ${time}`;
}

/** Beside a room's name, for people who have not joined; "": none runs. */
export function badge(conferences: Conference[]): string {
    if (conferences.length > 1) return `${conferences.length} conferences running`;
    if (conferences.length === 0) return "";
    return conferences[0]!.intent === "voice" ? "Voice conference running" : "Conference running";
}
