// Contents of Matrix events as others may have written them: read, checked, and turned into values.

import { fromBase64, toBase64, type Bytes } from "../bytes.ts";
import { Malformed, array, integer, object, own, text, type Json } from "./check.ts";
import { failure, type Failure } from "./messages.ts";
import { MAX_MEMBER_NUMBER } from "./limits.ts";
import { FIELD, SOURCES } from "./names.ts";

const MAX_EPOCH = Number.MAX_SAFE_INTEGER;

/** `voice`: nobody sends pictures. */
export type Intent = "video" | "voice";

export interface Conference {
    conferenceId: string;
    creator: string;
    focus: string;
    /** Where config.json of the focus is, as far as the creator knew it. */
    url: string | null;
    intent: Intent;
    /** So many devices at one time; null: as many as the focus takes. */
    members: number | null;
    createdTs: number;
}

/** Ids alone are others' to choose: with its creator one names a conference for ever. */
export function sameConference(a: Pick<Conference, "conferenceId" | "creator"> | null, b: Pick<Conference, "conferenceId" | "creator"> | null): boolean {
    return a?.conferenceId === b?.conferenceId && a?.creator === b?.creator;
}

/** A conference as `sender` announces it; null when it says that the conference ended. */
export function parseConference(content: unknown, sender: string): Conference | null {
    const event = object(content, "conference");
    if (Object.keys(event).length === 0 || event.ended === true) return null;
    const focus = object(own(event, "focus"), "focus");
    const limits = object(own(event, "limits") ?? {}, "limits");
    const members = own(limits, "members") ?? null;
    return {
        conferenceId: conferenceId(event),
        // Somebody else may carry the announcement on.
        creator: event.creator === undefined ? sender : userId(event.creator, "creator"),
        focus: userId(own(focus, "user_id"), "focus"),
        url: own(focus, "url") === undefined ? null : webAddress(focus.url),
        intent: event.intent === "voice" ? "voice" : "video",
        members: members === null ? null : integer(members, 1, MAX_MEMBER_NUMBER, "members"),
        createdTs: integer(own(event, "created_ts"), 0, MAX_EPOCH, "created_ts"),
    };
}

/** As `sender` announces it; `creator` is said where that is somebody else. */
export function conferenceContent(conference: Conference, sender: string): Json {
    const { conferenceId, creator, focus, url, createdTs } = conference;
    return {
        conference_id: conferenceId,
        focus: { user_id: focus, ...(url === null ? {} : { url }) },
        ...terms(conference),
        ...(creator === sender ? {} : { creator }),
        created_ts: createdTs,
        ended: false,
    };
}

/** What a conference is held to; also said when it is opened. */
export function terms({ intent, members }: Pick<Conference, "intent" | "members">): Json {
    return { intent, ...(members === null ? {} : { limits: { members } }) };
}

export interface Ticket {
    conferenceId: string;
    creator: string;
    epoch: number;
    secret: Bytes;
}

export function parseTicket(content: unknown): Ticket {
    const event = object(content, "ticket");
    return {
        conferenceId: conferenceId(event),
        creator: userId(own(event, "creator"), "creator"),
        epoch: integer(own(event, "epoch"), 0, MAX_EPOCH, "epoch"),
        secret: bytes(own(event, "secret"), 32, "secret"),
    };
}

export function ticketContent(ticket: Ticket): Json {
    return { conference_id: ticket.conferenceId, creator: ticket.creator, epoch: ticket.epoch, secret: toBase64(ticket.secret) };
}

export function parseTicketRequest(content: unknown): { conferenceId: string; deviceId: string } {
    const event = object(content, "ticket request");
    return { conferenceId: conferenceId(event), deviceId: text(own(event, "device_id"), 255, "device_id") };
}

/** One base key of one source at one step of its ratchet. */
export interface MediaKey {
    source: number;
    epoch: number;
    ratchet: number;
    key: Bytes;
}

export interface MediaKeys {
    conferenceId: string;
    member: number;
    deviceId: string;
    keys: MediaKey[];
}

export function parseMediaKeys(content: unknown): MediaKeys {
    const event = object(content, "media keys");
    return {
        conferenceId: conferenceId(event),
        member: memberNumber(event),
        deviceId: text(own(event, "device_id"), 255, "device_id"),
        keys: array(own(event, "keys"), 16, "keys").map((value) => {
            const key = object(value, "key");
            return {
                source: integer(own(key, "source"), 0, SOURCES.length - 1, "source"),
                epoch: integer(own(key, "epoch"), 0, 0xffffffff, "epoch"),
                ratchet: integer(own(key, "ratchet"), 0, 0xffffffff, "ratchet"),
                key: bytes(own(key, "key"), 16, "key"),
            };
        }),
    };
}

export function mediaKeysContent(keys: MediaKeys): Json {
    return {
        conference_id: keys.conferenceId,
        member: keys.member,
        device_id: keys.deviceId,
        keys: keys.keys.map(({ source, epoch, ratchet, key }) => ({ source, epoch, ratchet, key: toBase64(key) })),
    };
}

export interface KeyRequest {
    conferenceId: string;
    member: number;
    source: number;
    epoch: number;
}

export function parseKeyRequest(content: unknown): KeyRequest {
    const event = object(content, "key request");
    return {
        conferenceId: conferenceId(event),
        member: memberNumber(event),
        source: integer(own(event, "source"), 0, SOURCES.length - 1, "source"),
        epoch: integer(own(event, "epoch"), 0, 0xffffffff, "epoch"),
    };
}

export function keyRequestContent(request: KeyRequest): Json {
    return {
        conference_id: request.conferenceId,
        member: request.member,
        source: request.source,
        epoch: request.epoch,
    };
}

export interface Answer {
    callId: string;
    partyId: string;
    sdp: string;
}

export function parseAnswer(content: unknown): Answer {
    const event = object(content, "answer");
    const answer = object(own(event, "answer"), "answer");
    if (answer.type !== "answer") throw new Malformed("answer: wrong type");
    return {
        callId: text(own(event, "call_id"), 255, "call_id"),
        partyId: text(own(event, "party_id"), 255, "party_id"),
        sdp: text(own(answer, "sdp"), 65536, "sdp"),
    };
}

/** The focus's answer to an offer that went through the room. */
export function parseNegotiated(content: unknown): { callId: string; offerId: string; sdp: string } {
    const event = object(content, "negotiate");
    const description = object(own(event, "description"), "description");
    if (description.type !== "answer") throw new Malformed("description: not an answer");
    return {
        callId: text(own(event, "call_id"), 255, "call_id"),
        offerId: text(own(event, FIELD.offerId), 255, "offer_id"),
        sdp: text(own(description, "sdp"), 65536, "sdp"),
    };
}

/** The error object of `m.call.reject` and `m.call.hangup`; a plain reason becomes its code. */
export function parseRefusal(content: unknown): Failure & { callId: string } {
    const event = object(content, "refusal");
    const error = own(event, FIELD.error);
    const reason = own(event, "reason");
    const given = typeof error === "object" && error !== null ? failure(error as Json) : failure({ code: reason });
    return { callId: text(own(event, "call_id"), 255, "call_id"), ...given };
}

function conferenceId(event: Json): string {
    const id = text(own(event, "conference_id"), 255, "conference_id");
    if (!/^[A-Za-z0-9_-]{22,255}$/.test(id)) throw new Malformed("conference_id: wrong form");
    return id;
}

function userId(value: unknown, what: string): string {
    const id = text(value, 255, what);
    if (!id.startsWith("@") || !id.includes(":") || id.includes("\n")) throw new Malformed(`${what}: not a user id`);
    return id;
}

function webAddress(value: unknown): string {
    const address = text(value, 2048, "url");
    if (!/^https?:\/\/[^?#]*\/$/.test(address)) throw new Malformed("url: not a web address that ends with /");
    return address;
}

function memberNumber(event: Json): number {
    return integer(own(event, "member"), 1, MAX_MEMBER_NUMBER, "member");
}

function bytes(value: unknown, length: number, what: string): Bytes {
    const decoded = fromBase64(text(value, 255, what));
    if (decoded === null || decoded.length !== length) throw new Malformed(`${what}: not ${length} bytes in base64`);
    return decoded;
}
