// Which conferences a room announces, and how this person announces one (docs/protocol.md 1).

import { EventTimeline, type MatrixClient, MatrixError, type Room } from "matrix-js-sdk";
import { count } from "../guard.ts";
import { conferenceContent, parseConference, sameConference, type Conference } from "../protocol/events.ts";
import { SWITCHED_OFF_MS } from "../protocol/limits.ts";
import { EVENT } from "../protocol/names.ts";
import { politely } from "./send.ts";

export interface Announcement {
    stateKey: string | undefined;
    sender: string;
    content: unknown;
    /** When its homeserver took it, ms. */
    ts: number;
    /** Place in the part of the room's timeline that is known here; -1: before it. */
    at: number;
}

/** Those of people in the room that have not ended, the newest, which is the active one, first; each conference once. */
export function runningConferences(room: Room): Conference[] {
    return living(inRoom(room, announcements(room)));
}

/** People in the room who announce this one. */
export function announcersOf(room: Room, conference: Conference): Set<string> {
    const found = new Set<string>();
    for (const [sender, one] of newestBySender(inRoom(room, announcements(room)))) if (sameConference(one, conference)) found.add(sender);
    return found;
}

export function living(all: Announcement[]): Conference[] {
    const sorted = [...newestBySender(all).values()].filter((one) => one !== null).sort((a, b) => b.createdTs - a.createdTs);
    return sorted.filter((one, i) => sorted.findIndex((other) => sameConference(one, other)) === i);
}

/** A sender has one announcement at a time; null: it ended. */
function newestBySender(all: Announcement[]): Map<string, Conference | null> {
    const bySender = new Map<string, Conference | null>();
    for (const { stateKey, sender, content } of all) {
        // Only a key equal to the writer's own id is safe from others (state_key is absent on timeline events).
        if (stateKey !== undefined && stateKey !== sender) continue;
        try {
            const conference = parseConference(content, sender);
            const known = bySender.get(sender);
            if (conference && known && known.createdTs > conference.createdTs) continue;
            bySender.set(sender, conference);
        } catch {
            count("announcement malformed");
        }
    }
    return bySender;
}

/**
 * Whether `own` has come back to us, and the living conferences of others that the room's order of events puts before it, the
 * newest first. Everyone sees the same order, so of several started at once all but the first give way.
 */
export function standing(room: Room, own: Conference): { arrived: boolean; before: Conference[] } {
    const all = announcements(room);
    const ours = all.find(({ sender, content }) => sender === own.creator && (content as { conference_id?: unknown }).conference_id === own.conferenceId);
    if (!ours) return { arrived: false, before: [] };
    return { arrived: true, before: living(inRoom(room, all).filter(({ sender, at }) => sender !== own.creator && at < ours.at)) };
}

function inRoom(room: Room, all: Announcement[]): Announcement[] {
    return all.filter(({ sender }) => room.getMember(sender)?.membership === "join");
}

/** State events, then timeline events of the same type in their order (where power levels refused the state). */
function announcements(room: Room): Announcement[] {
    const state = room.getLiveTimeline().getState(EventTimeline.FORWARDS);
    const known = room.getLiveTimeline().getEvents();
    const timeline = known.filter((event) => event.getType() === EVENT.conference && !event.isState());
    return [...(state?.getStateEvents(EVENT.conference) ?? []), ...timeline].map((event) => ({
        at: known.findIndex((one) => one.getId() === event.getId()),
        stateKey: event.isState() ? event.getStateKey() : undefined,
        sender: event.getSender() ?? "",
        content: event.getContent(),
        ts: event.getTs(),
    }));
}

/** Writes the announcement as state; as a timeline event where the room does not let this person. null: what they announced ends. */
export async function announce(client: MatrixClient, roomId: string, conference: Conference | null): Promise<void> {
    const self = client.getSafeUserId();
    const content = conference ? conferenceContent(conference, self) : ENDED;
    try {
        await politely(() => client.sendStateEvent(roomId, EVENT.conference, content, self));
    } catch (error) {
        if (!(error instanceof MatrixError) || error.httpStatus !== 403) throw error;
        await politely(() => client.sendEvent(roomId, EVENT.conference, content));
    }
}

export const ENDED = { ended: true };
/** As a dead man's switch says it: those inside, if there are any, carry it on. */
export const SWITCHED_OFF = { ended: true, switch: true };

/** Has a switch ended what somebody announced here? A homeserver that was away ends at its return what could not be put off
 * meanwhile; it says when that was due, not when it did. */
export function isInterrupted(room: Room): boolean {
    return interrupted(inRoom(room, announcements(room)), Date.now());
}

export function interrupted(all: Announcement[], now: number): boolean {
    const newest = new Map(all.filter(({ stateKey, sender }) => stateKey === sender).map((one) => [one.sender, one]));
    const off = ({ content, ts }: Announcement) => (content as { switch?: unknown }).switch === true && parsed(content) === null && Math.abs(now - ts) < SWITCHED_OFF_MS;
    return [...newest.values()].some(off);
}

function parsed(content: unknown): Conference | null {
    try {
        return parseConference(content, "");
    } catch {
        return null;
    }
}
