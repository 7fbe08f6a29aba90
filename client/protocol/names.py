"""Every name that goes over the wire (docs/protocol.md); nothing else in this client spells one out."""

from typing import Final

PREFIX: Final = "org.matrix.msc2359"

# The conference room.
CONFERENCE: Final = f"{PREFIX}.conference"
TICKET: Final = f"{PREFIX}.ticket"
TICKET_REQUEST: Final = f"{PREFIX}.ticket_request"
MEDIA_KEYS: Final = f"{PREFIX}.media_keys"
KEY_REQUEST: Final = f"{PREFIX}.key_request"
HAND: Final = f"{PREFIX}.hand"
REACTION: Final = f"{PREFIX}.reaction"
MUTE_REQUEST: Final = f"{PREFIX}.mute_request"

# The call (MSC2746) and its stream metadata (MSC3077, MSC3291).
INVITE: Final = "m.call.invite"
ANSWER: Final = "m.call.answer"
CANDIDATES: Final = "m.call.candidates"
SELECT_ANSWER: Final = "m.call.select_answer"
HANGUP: Final = "m.call.hangup"
REJECT: Final = "m.call.reject"
NEGOTIATE: Final = "m.call.negotiate"
METADATA_CHANGED: Final = "m.call.sdp_stream_metadata_changed"
CALL_VERSION: Final = "1"
JOIN: Final = f"{PREFIX}.join"
ERROR: Final = f"{PREFIX}.error"
OFFER_ID: Final = f"{PREFIX}.offer_id"
METADATA: Final = "sdp_stream_metadata"
USERMEDIA: Final = "m.usermedia"
SCREENSHARE: Final = "m.screenshare"

# The data channel (MSC3898 and ours).
CHANNEL_LABEL: Final = PREFIX
WELCOME: Final = f"{PREFIX}.welcome"
MEMBERS: Final = f"{PREFIX}.members"
SLOTS: Final = f"{PREFIX}.slots"
SEND: Final = f"{PREFIX}.send"
SPEAKERS: Final = f"{PREFIX}.speakers"
LAYERS: Final = f"{PREFIX}.layers"
VIEWERS: Final = f"{PREFIX}.viewers"
MISSING_KEY: Final = f"{PREFIX}.missing_key"
EPOCH: Final = f"{PREFIX}.epoch"
PROVE: Final = f"{PREFIX}.prove"
RESUMED: Final = f"{PREFIX}.resumed"
SEALED: Final = f"{PREFIX}.sealed"
PING: Final = "m.call.ping"
PONG: Final = "m.call.pong"
TRACK_SUBSCRIPTION: Final = "m.call.track_subscription"

PROOF_HEADING: Final = f"{PREFIX}.ticket-proof"
EPOCH_HEADING: Final = f"{PREFIX}.epoch-proof"
TICKET_SALT: Final = b"sotto ticket"
RATCHET_LABEL: Final = b"SFrame 1.0 Ratchet"
SEALED_KEY_LABEL: Final = b"org.matrix.msc2359 sealed key "
SEALED_SALT_LABEL: Final = b"org.matrix.msc2359 sealed salt "

# SDP: a section of sealed RTP, and the SSRCs given to its sender.
SDP_SEALED: Final = f"{PREFIX}.sealed"
SDP_SEALED_SSRC: Final = f"{PREFIX}.sealed-ssrc"
# Forms of a source.
FRAMES_FORM: Final = "frames"
SEALED_FORM: Final = "sealed"

# Sources by their number, encodings from low to high.
SOURCES: Final = ("audio", "camera", "screen", "screen_audio")
RIDS: Final = ("t", "m", "f")
