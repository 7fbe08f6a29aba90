// The rooms a person may hold a conference in.

import { EventTimeline, type MatrixClient, type Room, type RoomMember, RoomMemberEvent } from "matrix-js-sdk";
import { guard } from "../guard.ts";
import type { Conference } from "../protocol/events.ts";
import { runningConferences } from "./announcements.ts";

export interface RoomSummary {
    roomId: string;
    name: string;
    encrypted: boolean;
    members: number;
    /** Those that run, the active one first. */
    conferences: Conference[];
}

/** Joined rooms, encrypted ones first, then by latest activity; direct chats with the focus are left out. */
export function listRooms(client: MatrixClient, focus: string): RoomSummary[] {
    return client
        .getRooms()
        .filter((room) => room.getMyMembership() === "join" && !room.isSpaceRoom() && !hasMember(room, focus))
        .map((room) => ({ room, active: room.getLastActiveTimestamp(), summary: summarise(room) }))
        .sort((a, b) => Number(b.summary.encrypted) - Number(a.summary.encrypted) || b.active - a.active)
        .map(({ summary }) => summary);
}

export function summarise(room: Room): RoomSummary {
    return {
        roomId: room.roomId,
        name: room.name,
        encrypted: isEncrypted(room),
        members: room.getJoinedMemberCount(),
        conferences: runningConferences(room),
    };
}

export function isEncrypted(room: Room): boolean {
    const state = room.getLiveTimeline().getState(EventTimeline.FORWARDS);
    return state?.getStateEvents("m.room.encryption", "") !== null && state !== undefined;
}

export function displayName(client: MatrixClient, roomId: string, userId: string): string {
    return client.getRoom(roomId)?.getMember(userId)?.name ?? userId;
}

/** Calls back when rooms, their names or their state change. */
export function watchRooms(client: MatrixClient, changed: () => void): () => void {
    const events = ["Room", "Room.name", "RoomState.events", "Room.timeline", "Room.myMembership"] as const;
    let waiting = false;
    const soon = guard("room list", () => {
        if (waiting) return;
        waiting = true;
        setTimeout(() => {
            waiting = false;
            changed();
        }, 200);
    });
    const emitter = client as unknown as { on(event: string, f: () => void): void; off(event: string, f: () => void): void };
    for (const event of events) emitter.on(event, soon);
    return () => {
        for (const event of events) emitter.off(event, soon);
    };
}

/** Calls back when somebody else who was in the room is there no more. */
export function watchLeavers(client: MatrixClient, room: string, left: () => void): () => void {
    const self = client.getSafeUserId();
    const onMembership = guard("room member", (_event: unknown, { roomId, userId, membership }: RoomMember, before?: string) => {
        if (roomId === room && userId !== self && before === "join" && membership !== "join") left();
    });
    client.on(RoomMemberEvent.Membership, onMembership);
    return () => void client.off(RoomMemberEvent.Membership, onMembership);
}

function hasMember(room: Room, userId: string): boolean {
    const membership = room.getMember(userId)?.membership;
    return membership === "join" || membership === "invite";
}
