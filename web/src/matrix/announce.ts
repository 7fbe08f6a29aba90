// The announcement of a conference in its room: which one runs, and how to announce another.

import { EventTimeline, type MatrixClient, MatrixError, type Room } from "matrix-js-sdk";
import { count } from "../guard.ts";
import { parseConference, type Conference } from "../protocol/events.ts";
import { EVENT } from "../protocol/names.ts";
import { politely } from "./send.ts";

interface Announcement {
    stateKey: string | undefined;
    sender: string;
    content: unknown;
    /** Place in the part of the room's timeline that is known here; -1: before it. */
    at: number;
}

/** The announcement that counts: the newest that has not ended, of members who are still in the room. */
export function activeConference(room: Room): Conference | null {
    const present = (userId: string) => room.getMember(userId)?.membership === "join";
    return chooseConference(announcements(room).filter(({ sender }) => present(sender)));
}

export function chooseConference(all: Announcement[]): Conference | null {
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
    let newest: Conference | null = null;
    for (const conference of bySender.values()) {
        if (conference && (!newest || conference.createdTs > newest.createdTs)) newest = conference;
    }
    return newest;
}

/**
 * Whether `own` has come back to us, and the living conference of somebody else that the room's order of events puts
 * before it. Everyone sees the same order, so of several started at once all but the first give way.
 */
export function standing(room: Room, own: Conference): { arrived: boolean; before: Conference | null } {
    const all = announcements(room);
    const ours = all.find(({ sender, content }) => sender === own.creator && (content as { conference_id?: unknown }).conference_id === own.conferenceId);
    if (!ours) return { arrived: false, before: null };
    const present = (userId: string) => room.getMember(userId)?.membership === "join";
    return { arrived: true, before: chooseConference(all.filter(({ sender, at }) => sender !== own.creator && at < ours.at && present(sender))) };
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
    }));
}

/** Writes the announcement as state; as a timeline event where the room does not let this person. */
export async function announce(client: MatrixClient, roomId: string, conference: Conference | null): Promise<void> {
    const content = conference ? announcementContent(conference) : { ended: true };
    const self = client.getSafeUserId();
    try {
        await politely(() => client.sendStateEvent(roomId, EVENT.conference, content, self));
    } catch (error) {
        if (!(error instanceof MatrixError) || error.httpStatus !== 403) throw error;
        await politely(() => client.sendEvent(roomId, EVENT.conference, content));
    }
}

function announcementContent(conference: Conference): Record<string, unknown> {
    return {
        conference_id: conference.conferenceId,
        focus: { user_id: conference.focus },
        intent: "video",
        created_ts: conference.createdTs,
        ended: false,
    };
}
