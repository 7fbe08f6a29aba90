// Who is in the conference, by the focus's word. Pure.

import type { Member, Members } from "../protocol/messages.ts";

export interface RosterChange {
    joined: Member[];
    left: number[];
}

export class Roster {
    readonly members = new Map<number, Member>();

    apply({ reset, present, gone }: Members): RosterChange {
        const joined: Member[] = [];
        const left = gone.filter((number) => this.members.has(number));
        if (reset) {
            const listed = new Set(present.map(({ member }) => member));
            for (const number of this.members.keys()) if (!listed.has(number) && !left.includes(number)) left.push(number);
        }
        for (const number of left) this.members.delete(number);
        for (const member of present) {
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
