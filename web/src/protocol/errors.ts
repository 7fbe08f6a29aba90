// What went wrong and what to do next, in words for the person who wanted to join.

export interface Explanation {
    cause: string;
    next: string;
}

const SENTENCES: Record<string, Explanation> = {
    conference_unknown: {
        cause: "The conference server does not know this conference (any more).",
        next: "Join again to start a new one.",
    },
    ticket_missing: {
        cause: "The conference server wants a ticket that proves you belong to this room, and none was sent.",
        next: "Wait until somebody in the conference is online, then join again.",
    },
    ticket_invalid: {
        cause: "The ticket found in the room does not open this conference.",
        next: "Join again: a member who is present will send the current ticket.",
    },
    ticket_expired: {
        cause: "The ticket is out of date, or this device's clock is more than five minutes wrong.",
        next: "Check the clock of this device, then join again.",
    },
    not_allowed: {
        cause: "The conference server does not serve this account.",
        next: "Ask whoever runs the server to allow it.",
    },
    invite_malformed: {
        cause: "The conference server could not read this client's call.",
        next: "Reload the page: client and server may be of different versions.",
    },
    sdp_malformed: {
        cause: "The conference server could not read this browser's media offer.",
        next: "Update the browser or try another one.",
    },
    sdp_unsupported: {
        cause: "This browser offers no media format that the conference uses (VP8 and Opus).",
        next: "Update the browser or try Chromium or Firefox.",
    },
    too_large: {
        cause: "This client's call was too large for the conference server.",
        next: "Reload the page and join again.",
    },
    stale: {
        cause: "The call reached the conference server too late.",
        next: "Join again.",
    },
    full: { cause: "The conference is full.", next: "Wait until somebody leaves, then join again." },
    busy: { cause: "The conference server has no room for another participant now.", next: "Try again in a minute." },
    shutting_down: { cause: "The conference server is stopping or restarting.", next: "Join again in a minute." },
    ice_failed: {
        cause: "No connection to the conference server could be made: UDP may be blocked on the way.",
        next: "Try another network, or ask whoever runs it to open the conference server's UDP port.",
    },
    dtls_failed: {
        cause: "The encrypted connection to the conference server could not be set up.",
        next: "Join again; if it stays so, try another network or browser.",
    },
    internal: { cause: "The conference server had a fault of its own.", next: "Join again in a moment." },

    // Found by this client itself.
    no_config: {
        cause: "This page could not read its settings (config.json) from the server.",
        next: "Check that the conference server is running, then reload.",
    },
    login_refused: { cause: "The homeserver does not accept this name and password.", next: "Check both and sign in again." },
    homeserver_unreachable: {
        cause: "The homeserver cannot be reached.",
        next: "Check its address and your connection, then try again.",
    },
    rate_limited: {
        cause: "The homeserver asks to slow down.",
        next: "Wait a minute, then try again.",
    },
    room_not_encrypted: {
        cause: "This room is not encrypted, so media keys could not be sent safely.",
        next: "Turn encryption on in the room's settings, or choose another room.",
    },
    room_unknown: {
        cause: "You are not in the room that this link leads to.",
        next: "Ask to be invited to it, accept in any Matrix client, then open the link again.",
    },
    focus_absent: {
        cause: "The conference server did not accept the invitation to a direct chat.",
        next: "It may not be running: try again later, or ask whoever runs it.",
    },
    no_answer: {
        cause: "The conference server did not answer the call.",
        next: "It may not be running: try again in a moment.",
    },
    no_ticket: {
        cause: "Nobody in the room could give a ticket for the running conference.",
        next: "Join again to start a new one.",
    },
    media_denied: {
        cause: "The browser was not allowed to use the microphone or camera.",
        next: "Allow it beside the address bar, or join without it.",
    },
    connection_lost: {
        cause: "The connection to the conference server was lost.",
        next: "Check the network, then join again.",
    },
    media_worker: {
        cause: "The part of this page that encrypts sound and picture could not be loaded.",
        next: "Reload the page: it may have been updated meanwhile.",
    },
    replaced: {
        cause: "You joined this conference again from another tab on this device.",
        next: "Go on there, or join again here.",
    },
    unsupported_browser: {
        cause: "This browser cannot encrypt media itself (no encoded transforms), so it would not be private.",
        next: "Use a current Chromium, Chrome, Edge or Firefox.",
    },
    insecure_page: {
        cause: "The page was not loaded over https, so the browser offers neither camera nor encryption.",
        next: "Open it by its https address.",
    },
};

/** Sentences for a code of the contract or of this client; a code of a later version is named as it is. */
export function explain(code: string, message = ""): Explanation {
    if (Object.hasOwn(SENTENCES, code)) return SENTENCES[code]!;
    return { cause: message || `The call ended (${code}).`, next: "Join again." };
}

/** A failure with a code that `explain` knows; `message` is the other side's own sentence. */
export class Trouble extends Error {
    readonly code: string;
    /** How far our clock is from the homeserver's, ms, where what told of the trouble says so. */
    readonly clockOff: number;

    constructor(code: string, message = "", clockOff = 0) {
        super(message || explain(code).cause);
        this.name = "Trouble";
        this.code = code;
        this.clockOff = clockOff;
    }
}
