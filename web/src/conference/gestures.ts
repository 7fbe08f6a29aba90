// Who has a hand up, and which reactions are in the air. Pure but for `now` and the ports: events go through Matrix.

import { count } from "../guard.ts";
import { HAND_AGAIN_MS, HAND_MS, REACTION_MS, REACTION_PAUSE_MS } from "../protocol/limits.ts";
import { handContent, parseHand, parseReaction, reactionContent } from "../protocol/gestures.ts";
import { EVENT } from "../protocol/names.ts";

export interface GesturePorts {
    conferenceId: string;
    send(type: typeof EVENT.hand | typeof EVENT.reaction, content: Record<string, unknown>): Promise<unknown>;
    /** The user a member number belongs to now. */
    ownerOf(member: number): string | null;
    self(): number | null;
    changed(): void;
    /** ms */
    now(): number;
}

export interface Gesture {
    type: string;
    content: unknown;
    sender: string;
    encrypted: boolean;
}

export class Gestures {
    readonly #ports: GesturePorts;
    /** Since when, ms, by member. */
    #hands = new Map<number, number>();
    #reactions = new Map<number, { key: string; until: number }>();
    #lastReaction = -Infinity;
    #saidAt = -Infinity;
    #again: ReturnType<typeof setTimeout> | undefined;
    #timers = new Set<ReturnType<typeof setTimeout>>();

    constructor(ports: GesturePorts) {
        this.#ports = ports;
    }

    /** Members with a hand up, the one who waits longest first. */
    get hands(): number[] {
        const now = this.#ports.now();
        return [...this.#hands].filter(([, since]) => now - since < HAND_MS).sort((a, b) => a[1] - b[1]).map(([member]) => member);
    }

    reaction(member: number): string | null {
        const one = this.#reactions.get(member);
        return one && one.until > this.#ports.now() ? one.key : null;
    }

    arrived({ type, content, sender, encrypted }: Gesture): void {
        if (type !== EVENT.hand && type !== EVENT.reaction) return;
        const gesture = type === EVENT.hand ? parseHand(content) : parseReaction(content);
        if (gesture.conferenceId !== this.#ports.conferenceId) return;
        if (!encrypted || this.#ports.ownerOf(gesture.member) !== sender) return count("gesture refused");
        if ("raised" in gesture) this.#setHand(gesture.member, gesture.raised);
        else this.#show(gesture.member, gesture.key);
    }

    async raise(raised: boolean): Promise<void> {
        const self = this.#ports.self();
        if (self === null || this.#hands.has(self) === raised) return;
        this.#setHand(self, raised);
        this.#saidAt = this.#ports.now();
        try {
            await this.#ports.send(EVENT.hand, handContent({ conferenceId: this.#ports.conferenceId, member: self, raised }));
        } catch {
            // Nobody saw it, so nobody shall believe it.
            count("gesture not sent");
            this.#setHand(self, !raised);
        }
    }

    async react(key: string): Promise<void> {
        const self = this.#ports.self();
        const now = this.#ports.now();
        if (self === null || now - this.#lastReaction < REACTION_PAUSE_MS) return;
        this.#lastReaction = now;
        this.#show(self, key);
        await this.#ports.send(EVENT.reaction, reactionContent({ conferenceId: this.#ports.conferenceId, member: self, key })).catch(() => count("gesture not sent"));
    }

    /** Who joins now cannot read what was sent before. */
    memberJoined(): void {
        const self = this.#ports.self();
        if (self === null || !this.#hands.has(self) || this.#again) return;
        this.#again = setTimeout(
            () => {
                this.#again = undefined;
                if (!this.#hands.has(self)) return;
                this.#saidAt = this.#ports.now();
                const content = handContent({ conferenceId: this.#ports.conferenceId, member: self, raised: true });
                this.#ports.send(EVENT.hand, content).catch(() => count("gesture not sent"));
            },
            Math.max(1000, this.#saidAt + HAND_AGAIN_MS - this.#ports.now()),
        );
    }

    memberLeft(member: number): void {
        this.#hands.delete(member);
        this.#reactions.delete(member);
    }

    close(): void {
        clearTimeout(this.#again);
        for (const timer of this.#timers) clearTimeout(timer);
    }

    #setHand(member: number, raised: boolean): void {
        if (!raised) this.#hands.delete(member);
        // Said again for a newcomer: the place in the queue stays.
        else if (!this.#hands.has(member)) this.#hands.set(member, this.#ports.now());
        this.#ports.changed();
    }

    #show(member: number, key: string): void {
        this.#reactions.set(member, { key, until: this.#ports.now() + REACTION_MS });
        this.#ports.changed();
        const timer = setTimeout(() => {
            this.#timers.delete(timer);
            this.#ports.changed();
        }, REACTION_MS + 20);
        this.#timers.add(timer);
    }
}
