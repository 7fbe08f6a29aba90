// Every name that goes over the wire (docs/protocol.md). Nothing else in this client spells one out.

const P = "org.matrix.msc2359";

/** Matrix event types. */
export const EVENT = {
    conference: `${P}.conference`,
    ticket: `${P}.ticket`,
    ticketRequest: `${P}.ticket_request`,
    mediaKeys: `${P}.media_keys`,
    keyRequest: `${P}.key_request`,
    hand: `${P}.hand`,
    reaction: `${P}.reaction`,
    muteRequest: `${P}.mute_request`,
    focus: `${P}.focus`,
    invite: "m.call.invite",
    answer: "m.call.answer",
    candidates: "m.call.candidates",
    selectAnswer: "m.call.select_answer",
    reject: "m.call.reject",
    negotiate: "m.call.negotiate",
    hangup: "m.call.hangup",
} as const;

/** Fields with a namespaced name inside `m.call.*` events. */
export const FIELD = {
    join: `${P}.join`,
    error: `${P}.error`,
    offerId: `${P}.offer_id`,
} as const;

/** Delayed events (MSC4140), as homeservers name them. */
export const DELAYED_EVENTS = "org.matrix.msc4140";

/** Data channel: its label and its message types. */
export const CHANNEL_LABEL = P;
export const MESSAGE = {
    welcome: `${P}.welcome`,
    members: `${P}.members`,
    slots: `${P}.slots`,
    send: `${P}.send`,
    error: `${P}.error`,
    speakers: `${P}.speakers`,
    layers: `${P}.layers`,
    viewers: `${P}.viewers`,
    epoch: `${P}.epoch`,
    prove: `${P}.prove`,
    resumed: `${P}.resumed`,
    missingKey: `${P}.missing_key`,
    negotiate: "m.call.negotiate",
    ping: "m.call.ping",
    pong: "m.call.pong",
    hangup: "m.call.hangup",
    trackSubscription: "m.call.track_subscription",
    metadataChanged: "m.call.sdp_stream_metadata_changed",
} as const;

/** First line of the text a ticket proof signs. */
export const PROOF_HEADING = `${P}.ticket-proof`;
export const EPOCH_PROOF_HEADING = `${P}.epoch-proof`;
export const TICKET_SALT = "sotto ticket";
export const RATCHET_LABEL = "SFrame 1.0 Ratchet";

export const CALL_VERSION = "1";
export const PURPOSE = { usermedia: "m.usermedia", screenshare: "m.screenshare" } as const;

/** Sources of a member, by the number the wire and the KID use. */
export const SOURCES = ["audio", "camera", "screen", "screen_audio"] as const;
export type Source = (typeof SOURCES)[number];

/** Sources that are pictures. */
export type PictureSource = "camera" | "screen";

/** Encodings of a picture, low to high. */
export const RIDS = ["t", "m", "f"] as const;
export type Rid = (typeof RIDS)[number];

export function sourceNumber(source: Source): number {
    return SOURCES.indexOf(source);
}
