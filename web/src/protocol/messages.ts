// Data channel messages of the focus: their types, and the one function that reads them from untrusted text.

import { layers, send, speakers, viewers, type Layer, type Speakers, type Viewers, type WantedEncoding } from "./adaptation.ts";
import { Malformed, array, boolean, integer, isSource, memberNumber, object, own, text, type Json } from "./check.ts";
import { MAX_MEMBERS, MAX_MESSAGE_CHARS } from "./limits.ts";
import { MESSAGE, type Rid, type Source } from "./names.ts";

export interface Welcome {
    version: number;
    member: number;
    conferenceId: string;
    pingIntervalMs: number;
    /** Of the ticket that is current, and its public key. */
    epoch: number;
    verifier: string;
    /** What a second connection of this member is asked for with, and where; null: it cannot be. */
    resume: Resume | null;
}

export interface Resume {
    token: string;
    /** Relative to the address of config.json. */
    url: string;
}

export interface EpochState {
    epoch: number;
    /** Names the current epoch together with its number, which two tickets may have. */
    verifier: string;
    proved: boolean;
    proposed: { epoch: number; verifier: string; yours: boolean }[];
}

export interface Member {
    member: number;
    userId: string;
    deviceId: string;
    audioMuted: boolean;
    videoMuted: boolean;
    sources: Source[];
}

export interface Members {
    reset: boolean;
    present: Member[];
    gone: number[];
    /** Of the same whole roster follows. */
    more: boolean;
}

export interface Slot {
    mid: string;
    member: number | null;
    source: Source | null;
}

export interface Failure {
    code: string;
    message: string;
}

export type FocusMessage =
    | { type: "welcome"; content: Welcome }
    | { type: "members"; content: Members }
    | { type: "slots"; content: { revision: number; slots: Slot[] } }
    | { type: "send"; content: Map<Source, Map<Rid, WantedEncoding>> }
    | { type: "speakers"; content: Speakers }
    | { type: "layers"; content: Map<string, Layer> }
    | { type: "viewers"; content: Map<Source, Viewers> }
    | { type: "epoch"; content: EpochState }
    | { type: "negotiate"; content: { answer: string } | { error: Failure } }
    | { type: "ping" }
    | { type: "error"; content: Failure }
    | { type: "hangup"; content: Failure & { reason: string } }
    | { type: "unknown"; name: string };

/** Throws Malformed for anything but one JSON message of the contract; an unknown type is returned as such. */
export function parseUntrusted(data: unknown): FocusMessage {
    if (typeof data !== "string" || data.length > MAX_MESSAGE_CHARS) throw new Malformed("message: not a text of bearable size");
    let json: unknown;
    try {
        json = JSON.parse(data);
    } catch {
        throw new Malformed("message: not JSON");
    }
    const message = object(json, "message");
    const type = text(own(message, "type"), 255, "type");
    const content = object(own(message, "content") ?? {}, "content");
    switch (type) {
        case MESSAGE.welcome:
            return { type: "welcome", content: welcome(content) };
        case MESSAGE.members:
            return { type: "members", content: members(content) };
        case MESSAGE.slots:
            return { type: "slots", content: slots(content) };
        case MESSAGE.send:
            return { type: "send", content: send(content) };
        case MESSAGE.speakers:
            return { type: "speakers", content: speakers(content) };
        case MESSAGE.layers:
            return { type: "layers", content: layers(content) };
        case MESSAGE.viewers:
            return { type: "viewers", content: viewers(content) };
        case MESSAGE.epoch:
            return { type: "epoch", content: epoch(content) };
        case MESSAGE.negotiate:
            return { type: "negotiate", content: negotiate(content) };
        case MESSAGE.ping:
            return { type: "ping" };
        case MESSAGE.error:
            return { type: "error", content: failure(content) };
        case MESSAGE.hangup:
            return {
                type: "hangup",
                content: {
                    reason: typeof content.reason === "string" ? content.reason.slice(0, 255) : "unknown_error",
                    ...failure(hangupError(content)),
                },
            };
        default:
            return { type: "unknown", name: type };
    }
}

function hangupError(content: Json): Json {
    const error = own(content, MESSAGE.error);
    return typeof error === "object" && error !== null && !Array.isArray(error) ? (error as Json) : {};
}

function welcome(content: Json): Welcome {
    return {
        version: integer(own(content, "version"), 1, 1000, "version"),
        member: memberNumber(own(content, "member")),
        conferenceId: text(own(content, "conference_id"), 255, "conference_id"),
        pingIntervalMs: integer(own(content, "ping_interval_ms") ?? 10000, 100, 600000, "ping_interval_ms"),
        epoch: integer(own(content, "epoch"), 0, Number.MAX_SAFE_INTEGER, "epoch"),
        verifier: text(own(content, "verifier"), 64, "verifier"),
        resume: Object.hasOwn(content, "resume") ? resume(object(content.resume, "resume")) : null,
    };
}

function resume(content: Json): Resume {
    return { token: text(own(content, "token"), 512, "token"), url: text(own(content, "url"), 2000, "url") };
}

function epoch(content: Json): EpochState {
    return {
        epoch: integer(own(content, "epoch"), 0, Number.MAX_SAFE_INTEGER, "epoch"),
        verifier: text(own(content, "verifier"), 64, "verifier"),
        proved: boolean(own(content, "proved"), "proved"),
        proposed: array(own(content, "proposed") ?? [], 64, "proposed").map((value) => {
            const one = object(value, "proposed");
            return {
                epoch: integer(own(one, "epoch"), 0, Number.MAX_SAFE_INTEGER, "epoch"),
                verifier: text(own(one, "verifier"), 64, "verifier"),
                yours: boolean(own(one, "yours") ?? false, "yours"),
            };
        }),
    };
}

function members(content: Json): Members {
    return {
        reset: boolean(own(content, "reset") ?? false, "reset"),
        present: array(own(content, "present") ?? [], MAX_MEMBERS, "present").map(member),
        gone: array(own(content, "gone") ?? [], MAX_MEMBERS, "gone").map(memberNumber),
        more: boolean(own(content, "more") ?? false, "more"),
    };
}

function member(value: unknown): Member {
    const one = object(value, "member");
    return {
        member: memberNumber(own(one, "member")),
        userId: text(own(one, "user_id"), 255, "user_id"),
        deviceId: text(own(one, "device_id"), 255, "device_id"),
        audioMuted: boolean(own(one, "audio_muted") ?? false, "audio_muted"),
        videoMuted: boolean(own(one, "video_muted") ?? false, "video_muted"),
        // A source this client does not know yet is no reason to lose the member.
        sources: array(own(one, "sources") ?? [], 16, "sources").filter(isSource),
    };
}

function slots(content: Json): { revision: number; slots: Slot[] } {
    return {
        revision: integer(own(content, "revision"), 0, Number.MAX_SAFE_INTEGER, "revision"),
        slots: array(own(content, "slots"), 256, "slots").map((value) => {
            const slot = object(value, "slot");
            const who = own(slot, "member") ?? null;
            const what = own(slot, "source") ?? null;
            return {
                mid: text(own(slot, "mid"), 32, "mid"),
                member: who === null ? null : memberNumber(who),
                source: isSource(what) ? what : null,
            };
        }),
    };
}

function negotiate(content: Json): { answer: string } | { error: Failure } {
    if (Object.hasOwn(content, "error")) return { error: failure(object(content.error, "error")) };
    const description = object(own(content, "description"), "description");
    if (description.type !== "answer") throw new Malformed("description: not an answer");
    return { answer: text(own(description, "sdp"), MAX_MESSAGE_CHARS, "sdp") };
}

export function failure(content: Json): Failure {
    return {
        code: typeof content.code === "string" ? content.code.slice(0, 64) : "internal",
        message: typeof content.message === "string" ? content.message.slice(0, 500) : "",
    };
}
