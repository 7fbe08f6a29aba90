// Who is in the conference, by the focus's word. Pure.

import { count } from "../guard.ts";
import { MAX_MEMBERS } from "../protocol/limits.ts";
import type { Member, Members } from "../protocol/messages.ts";

export interface RosterChange {
    joined: Member[];
    left: number[];
}

export class Roster {
    readonly members = new Map<number, Member>();
    /** Whose each number is, for good: pictures that one person's key opens must never be shown as another's. */
    readonly #owners = new Map<number, string>();

    /** Of a whole roster that is not complete yet. */
    #parts: Map<number, Member> | null = null;

    /** A whole roster that comes in parts as one, with the last of them; null until then. */
    gather(told: Members): Members | null {
        if (told.reset) this.#parts = new Map();
        const parts = this.#parts;
        if (parts === null) return told;
        for (const number of told.gone) parts.delete(number);
        for (const member of told.present) parts.set(member.member, member);
        if (told.more && parts.size <= MAX_MEMBERS) return null;
        this.#parts = null;
        return { reset: true, present: [...parts.values()], gone: [], more: false };
    }

    apply({ reset, present, gone }: Omit<Members, "more">): RosterChange {
        const joined: Member[] = [];
        const left = gone.filter((number) => this.members.has(number));
        if (reset) {
            const listed = new Set(present.map(({ member }) => member));
            for (const number of this.members.keys()) if (!listed.has(number) && !left.includes(number)) left.push(number);
        }
        for (const number of left) this.members.delete(number);
        for (const member of present) {
            const owner = `${member.userId}\n${member.deviceId}`;
            if ((this.#owners.get(member.member) ?? owner) !== owner) {
                count("member number reused");
                continue;
            }
            this.#owners.set(member.member, owner);
            if (!this.members.has(member.member)) joined.push(member);
            this.members.set(member.member, member);
        }
        return { joined, left };
    }

    /** By number: the order in which they came. */
    get list(): Member[] {
        return [...this.members.values()].sort((a, b) => a.member - b.member);
    }

    others(self: number): Member[] {
        return this.list.filter(({ member }) => member !== self);
    }
}
