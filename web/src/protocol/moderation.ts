// What moderators of the room say about a conference: asking somebody to be silent, and whom everybody sees large.

import { Malformed, memberNumber, object, own, text } from "./check.ts";
import type { PictureSource } from "./names.ts";

/** What somebody can be asked to turn off. */
export const MUTABLE = ["audio", "camera", "screen"] as const;
export type Mutable = (typeof MUTABLE)[number];

export interface MuteRequest {
    conferenceId: string;
    member: number;
    source: Mutable;
}

export interface Spotlit {
    member: number;
    source: PictureSource;
}

export function parseMuteRequest(content: unknown): MuteRequest {
    const event = object(content, "mute request");
    const source = own(event, "source");
    if (!MUTABLE.includes(source as Mutable)) throw new Malformed("source: not one that can be muted");
    return { conferenceId: text(own(event, "conference_id"), 255, "conference_id"), member: memberNumber(own(event, "member")), source: source as Mutable };
}

export function muteRequestContent({ conferenceId, member, source }: MuteRequest): Record<string, unknown> {
    return { conference_id: conferenceId, member, source };
}

/** null: nobody. */
export function parseFocus(content: unknown): Spotlit | null {
    const event = object(content, "focus");
    if (!Object.hasOwn(event, "member")) return null;
    const source = own(event, "source") ?? "camera";
    if (source !== "camera" && source !== "screen") throw new Malformed("source: not a picture");
    return { member: memberNumber(event.member), source };
}

export function focusContent(spot: Spotlit | null): Record<string, unknown> {
    return spot ? { member: spot.member, source: spot.source } : {};
}
