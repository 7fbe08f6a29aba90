// Raised hands and reactions: encrypted events in the conference room, so that the focus learns nothing of them.

import { Malformed, boolean, memberNumber, object, own, text, type Json } from "./check.ts";

export interface Hand {
    conferenceId: string;
    member: number;
    raised: boolean;
}

export interface Reaction {
    conferenceId: string;
    member: number;
    key: string;
}

/** What can be sent; anything of the same kind that others send is shown. */
export const REACTIONS = ["👍", "❤️", "😂", "👏", "🎉", "😮"] as const;

/** An emoji of several code points has up to this many UTF-16 units; longer is no reaction. */
const MAX_REACTION_CHARS = 16;

export function parseHand(content: unknown): Hand {
    const event = object(content, "hand");
    return { ...who(event), raised: boolean(own(event, "raised"), "raised") };
}

export function parseReaction(content: unknown): Reaction {
    const event = object(content, "reaction");
    const key = text(own(event, "key"), MAX_REACTION_CHARS, "key");
    // Pictures only: words would be shown large over somebody's name.
    if (!/^\p{Extended_Pictographic}[\p{Extended_Pictographic}\p{Emoji_Modifier}\u200d\ufe0f]*$/u.test(key)) throw new Malformed("key: not an emoji");
    return { ...who(event), key };
}

export function handContent({ conferenceId, member, raised }: Hand): Record<string, unknown> {
    return { conference_id: conferenceId, member, raised };
}

export function reactionContent({ conferenceId, member, key }: Reaction): Record<string, unknown> {
    return { conference_id: conferenceId, member, key };
}

function who(event: Json): { conferenceId: string; member: number } {
    return { conferenceId: text(own(event, "conference_id"), 255, "conference_id"), member: memberNumber(own(event, "member")) };
}
