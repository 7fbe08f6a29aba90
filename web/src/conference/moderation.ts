// Moderators of the room in a conference: who may, what they ask of us, whom they put before everybody. Authority is the
// room's power levels; the focus has no part in it. Pure but for the ports.

import { count } from "../guard.ts";
import { focusContent, muteRequestContent, parseFocus, parseMuteRequest, type Mutable, type Spotlit } from "../protocol/moderation.ts";

export interface ModerationPorts {
    conferenceId: string;
    self(): number | null;
    /** May this user ask others to be silent? */
    mayAsk(userId: string): boolean;
    /** May we put somebody before everybody? */
    mayFocus(): boolean;
    me: string;
    sendRequest(content: Record<string, unknown>): Promise<unknown>;
    sendFocus(content: Record<string, unknown>): Promise<unknown>;
    /** We are asked to turn something off. */
    asked(source: Mutable, by: string): void;
    /** Somebody else is put before everybody, or nobody. */
    focused(spot: Spotlit | null): void;
}

export class Moderation {
    focus: Spotlit | null = null;
    readonly #ports: ModerationPorts;

    constructor(ports: ModerationPorts) {
        this.#ports = ports;
    }

    get mayAsk(): boolean {
        return this.#ports.mayAsk(this.#ports.me);
    }

    get mayFocus(): boolean {
        return this.#ports.mayFocus();
    }

    /** An encrypted event of the room; `encrypted` false is anybody's word on the way. */
    requestArrived(content: unknown, sender: string, encrypted: boolean): void {
        const request = parseMuteRequest(content);
        if (request.conferenceId !== this.#ports.conferenceId || request.member !== this.#ports.self()) return;
        if (!encrypted || !this.#ports.mayAsk(sender)) return count("mute request refused");
        this.#ports.asked(request.source, sender);
    }

    /** The room's state, which only those who may have set. */
    focusArrived(content: unknown): void {
        const spot = parseFocus(content);
        if (spot?.member === this.focus?.member && spot?.source === this.focus?.source) return;
        this.focus = spot;
        this.#ports.focused(spot);
    }

    /** It is theirs to obey; nobody can be turned on by somebody else. */
    async askToMute(member: number, source: Mutable): Promise<void> {
        if (!this.mayAsk) return;
        const { conferenceId } = this.#ports;
        await this.#ports.sendRequest(muteRequestContent({ conferenceId, member, source })).catch(() => count("mute request not sent"));
    }

    /** Whoever has not chosen somebody sees this one large; null: nobody. */
    async setFocus(spot: Spotlit | null): Promise<void> {
        if (!this.mayFocus) return;
        await this.#ports.sendFocus(focusContent(spot)).catch(() => count("focus not sent"));
    }
}
