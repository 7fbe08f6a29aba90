// What the lock of a tile says, in colour, shape and words. Pure. It never says more than the frames proved.

import type { Verdict } from "../sframe/verdict.ts";
import type { IconName } from "./icons.tsx";

export type Tone = "good" | "waiting" | "bad" | "quiet";

export interface Lock {
    tone: Tone;
    icon: IconName;
    text: string;
    /** Shown beside the icon too, where something is not as it should be. */
    label: string;
}

const WORST: Verdict[] = ["not_encrypted", "wrong_key", "missing_key", "decrypting", "none"];

/** Of a key that has not come: since when, and whether its owner was asked again. */
export interface Missing {
    seconds: number;
    asked: boolean;
}

/** Seconds for which nothing has come of sound or picture, though it should; null: it comes, or need not. */
export interface Overdue {
    sound: number | null;
    picture: number | null;
}

/** The worst of what a member's sound and picture say. */
export function lockOf(name: string, verdicts: Verdict[], missing: Missing = { seconds: 0, asked: false }, overdue: Overdue = { sound: null, picture: null }): Lock {
    const verdict = WORST.find((one) => verdicts.includes(one)) ?? "none";
    if (verdict === "decrypting" || verdict === "none") {
        const what = nothing(overdue);
        const seconds = Math.max(overdue.sound ?? 0, overdue.picture ?? 0);
        const rest = verdict === "decrypting" ? `. What else comes is end-to-end encrypted: opened with ${name}'s own key` : "";
        if (what) return { tone: "waiting", icon: "nothing", label: `${what} comes`, text: `${what} has come from ${name} for ${seconds} s, though it is on${rest}` };
    }
    switch (verdict) {
        case "decrypting":
            return { tone: "good", icon: "lock", label: "", text: `End-to-end encrypted: opened with ${name}'s own key` };
        case "missing_key":
            return {
                tone: "waiting",
                icon: "key",
                label: missing.asked ? "Key missing, asked again" : "Key missing",
                text: `${name}'s key has not arrived${missing.seconds > 0 ? ` for ${missing.seconds} s` : " yet"}, so nothing of it can be opened${missing.asked ? "; their device was asked for it again" : ""}`,
            };
        case "wrong_key":
            return { tone: "bad", icon: "warning", label: "Wrong key", text: `What arrives does not open with ${name}'s key and is not shown` };
        case "not_encrypted":
            return { tone: "bad", icon: "unlock", label: "Not encrypted", text: `What arrives as ${name}'s is not encrypted and is not shown` };
        case "none":
            return { tone: "quiet", icon: "lock", label: "", text: `Nothing arrives from ${name} at the moment` };
    }
}

/** The own tile: whether frames leave encrypted, or wait for a key. */
export function ownLock(sealed: number, sending: boolean): Lock {
    if (!sending) return { tone: "quiet", icon: "lock", label: "", text: "You send nothing at the moment" };
    if (sealed > 0) return { tone: "good", icon: "lock", label: "", text: "What you send is end-to-end encrypted" };
    return { tone: "waiting", icon: "key", label: "Sending keys", text: "Nothing is sent until your keys are with the others" };
}

function nothing({ sound, picture }: Overdue): string {
    if (sound !== null && picture !== null) return "Nothing";
    return sound !== null ? "No sound" : picture !== null ? "No picture" : "";
}
