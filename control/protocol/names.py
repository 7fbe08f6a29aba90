"""Every name that goes over the wire (docs/protocol.md); nothing else in control spells one out."""

from typing import Final

PREFIX: Final = "org.matrix.msc2359"

# Matrix events of the call (MSC2746) and of stream metadata (MSC3077, MSC3291).
INVITE: Final = "m.call.invite"
ANSWER: Final = "m.call.answer"
CANDIDATES: Final = "m.call.candidates"
SELECT_ANSWER: Final = "m.call.select_answer"
HANGUP: Final = "m.call.hangup"
REJECT: Final = "m.call.reject"
NEGOTIATE: Final = "m.call.negotiate"
METADATA_CHANGED: Final = "m.call.sdp_stream_metadata_changed"
CALL_VERSION: Final = "1"

# Fields of them.
JOIN: Final = f"{PREFIX}.join"
ERROR: Final = f"{PREFIX}.error"
OFFER_ID: Final = f"{PREFIX}.offer_id"
METADATA: Final = "sdp_stream_metadata"
USERMEDIA: Final = "m.usermedia"
SCREENSHARE: Final = "m.screenshare"

# Data channel: its label, and the types that exist nowhere else (MSC3898 and ours).
CHANNEL_LABEL: Final = PREFIX
WELCOME: Final = f"{PREFIX}.welcome"
MEMBERS: Final = f"{PREFIX}.members"
SLOTS: Final = f"{PREFIX}.slots"
SEND: Final = f"{PREFIX}.send"
SPEAKERS: Final = f"{PREFIX}.speakers"
LAYERS: Final = f"{PREFIX}.layers"
VIEWERS: Final = f"{PREFIX}.viewers"
MISSING_KEY: Final = f"{PREFIX}.missing_key"
PROVE: Final = f"{PREFIX}.prove"
EPOCH: Final = f"{PREFIX}.epoch"
RESUMED: Final = f"{PREFIX}.resumed"
SEALED: Final = f"{PREFIX}.sealed"
PING: Final = "m.call.ping"
PONG: Final = "m.call.pong"
TRACK_SUBSCRIPTION: Final = "m.call.track_subscription"

# First line of what a ticket proof signs.
PROOF_HEADING: Final = f"{PREFIX}.ticket-proof"
EPOCH_PROOF_HEADING: Final = f"{PREFIX}.epoch-proof"

# SDP: a section of sealed RTP, and the SSRCs given to its sender.
SDP_SEALED: Final = f"{PREFIX}.sealed"
SDP_SEALED_SSRC: Final = f"{PREFIX}.sealed-ssrc"
# Forms of a source.
FRAMES: Final = "frames"
SEALED_FORM: Final = "sealed"

# Sources by their number, encodings from low to high.
SOURCES: Final = ("audio", "camera", "screen", "screen_audio")
RIDS: Final = ("t", "m", "f")

# Codes of P.error.
CONFERENCE_UNKNOWN: Final = "conference_unknown"
TICKET_MISSING: Final = "ticket_missing"
TICKET_INVALID: Final = "ticket_invalid"
TICKET_EXPIRED: Final = "ticket_expired"
NOT_ALLOWED: Final = "not_allowed"
INVITE_MALFORMED: Final = "invite_malformed"
MESSAGE_MALFORMED: Final = "message_malformed"
TOO_LARGE: Final = "too_large"
STALE: Final = "stale"
FULL: Final = "full"
BUSY: Final = "busy"
SHUTTING_DOWN: Final = "shutting_down"
ICE_FAILED: Final = "ice_failed"
DTLS_FAILED: Final = "dtls_failed"
REPLACED: Final = "replaced"
RESUME_UNKNOWN: Final = "resume_unknown"

# Over HTTP, beside config.json: clients resolve it there unless they are told a whole address.
RESUME_PATH: Final = "resume"

# Values of `reason` in m.call.hangup (MSC2746), where one fits a code of ours.
REASONS: Final = {ICE_FAILED: "ice_failed", DTLS_FAILED: "user_media_failed", REPLACED: "replaced"}
UNKNOWN_ERROR: Final = "unknown_error"
