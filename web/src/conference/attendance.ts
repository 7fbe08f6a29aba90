// What follows for this member when others come and go: keys, hands, pictures, slots, ticket epochs.

import type { KeyTransportKind } from "../config.ts";
import { count } from "../guard.ts";
import type { Speakers } from "../protocol/adaptation.ts";
import type { Members } from "../protocol/messages.ts";
import { Viewing, type Cast } from "../viewing/viewing.ts";
import type { Connections } from "./connections.ts";
import type { RoomLink } from "./roomlink.ts";
import { Roster } from "./roster.ts";

export const NOBODY: Speakers = { speaking: [], dominant: null };

export interface AttendancePorts {
    /** Our number, once we are in. */
    member(): number | null;
    keyTransport: KeyTransportKind;
    link(): RoomLink | null;
    connections(): Connections;
    /** Somebody has come or gone. */
    moved(): void;
    changed(): void;
}

export class Attendance {
    readonly roster = new Roster();
    readonly viewing: Viewing;
    speakers = NOBODY;
    readonly #ports: AttendancePorts;
    #seen = false;

    constructor(ports: AttendancePorts) {
        this.#ports = ports;
        this.viewing = new Viewing({
            cast: () => this.#cast(),
            open: () => ports.connections().current.dialogue.open,
            send: (message) => ports.connections().send(message),
            changed: () => ports.changed(),
        });
    }

    membersChanged(part: Members): void {
        const { link, member: self, connections, keyTransport } = this.#ports;
        const [own, room] = [self(), link()];
        if (own === null) return count("members before welcome");
        const members = this.roster.gather(part);
        if (members === null) return;
        const first = !this.#seen;
        this.#seen = true;
        const { joined, left } = this.roster.apply(members);
        for (const number of left) {
            room?.keys.memberLeft(number);
            room?.gestures.memberLeft(number);
            this.viewing.gone(number);
        }
        for (const member of joined) {
            if (member.member === own) continue;
            room?.keys.memberJoined(member, !first);
            if (!first) room?.gestures.memberJoined();
        }
        // Olm needs the roster's devices; the timeline reaches everybody by itself.
        if (first && keyTransport !== "timeline") room?.keys.start(own);
        if (left.length > 0) room?.epochs.memberLeft();
        if (left.length + joined.length > 0) this.#ports.moved();
        room?.announcement.announcing.look();
        this.viewing.refresh();
        void connections().current.negotiation.growFor(() => {
            const { others, screens } = this.#cast();
            return others.length + screens.length;
        });
    }

    speakersChanged(speakers: Speakers): void {
        this.speakers = speakers;
        this.viewing.speaker(speakers.dominant, this.#ports.member());
    }

    #cast(): Cast {
        const self = this.#ports.member();
        const others = this.roster.others(self ?? 0);
        return {
            others: others.map(({ member }) => member),
            screens: others.filter(({ sources }) => sources.includes("screen")).map(({ member }) => member),
            self,
            dominant: this.speakers.dominant,
        };
    }
}
