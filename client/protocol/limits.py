"""Every limit and interval of this client, each with what a higher and a lower value would cost."""

from typing import Final

# Text of one data channel message: m.call.negotiate may have 64 KiB. Higher: work for a faulty focus's
# messages.
MESSAGE_MAX_CHARS: Final = 64 * 1024
MESSAGE_MAX_BYTES: Final = 16 * 1024
# What is read of an answer over HTTP, an SDP answer mostly. Higher: a faulty server fills memory.
ANSWER_MAX_BYTES: Final = 256 * 1024
# Members in a roster. Higher: memory a faulty focus can fill; the number itself ends at 65535.
MEMBERS_MAX: Final = 2000
MEMBER_NUMBER_MAX: Final = 0xFFFF
# Identifiers of Matrix end at 255 bytes.
ID_MAX: Final = 255
SAFE_INTEGER: Final = 2**53 - 1
# A web address. Longer ones no server takes.
ADDRESS_MAX: Final = 2048

# Slot pairs in the invite, the step and the most (docs/protocol.md section 4). More: a larger first event.
# Fewer: an early second offer.
FIRST_SLOT_PAIRS: Final = 4
# Audio slots of whoever speaks and has no pair. Fewer: in a large conference some who speak are not heard.
LOUDEST_SLOTS: Final = 3
SLOT_PAIR_STEP: Final = 4
SLOT_PAIRS_MAX: Final = 16

# Keys, seconds; docs/protocol.md section 5 says why. Coalescing lower meets homeservers' rate limits, higher
# makes newcomers wait; grace lower loses frames of slow receivers, higher lets the one who left listen on.
KEY_COALESCE_S: Final = 5.0
KEY_GRACE_S: Final = 1.0
KEY_RETRY_S: Final = 3.0
KEY_REQUEST_S: Final = 3.0
# A key may be on its way for so long before anybody is asked for it. Lower: needless requests.
KEY_PATIENCE_S: Final = 0.35
# Key entries kept for members the roster does not name yet. Higher: memory a room member can fill.
EARLY_KEYS_MAX: Final = 256
# Base keys of one source that stay usable: the current one and the one before (frames still under way).
EPOCHS_KEPT: Final = 2
# Steps derived ahead of a known key for one frame. Higher: a forged header costs more hashing. Lower: a
# receiver that missed many joins has to ask.
RATCHET_AHEAD_MAX: Final = 16
# Counters remembered per KID. Lower: frames of layers that interleave at a switch are lost.
REPLAY_WINDOW: Final = 1024

# Tickets, seconds: how long an answer is waited for, how often is asked, and our turn among those who answer.
TICKET_ANSWER_S: Final = 5.0
TICKET_ROUNDS: Final = 5
TICKET_RANK_S: Final = 3.0
TICKET_PAUSE_S: Final = 2.0
# One new epoch follows another after so long at the soonest; tickets of so many are remembered.
EPOCH_S: Final = 10.0
EPOCHS_KNOWN: Final = 32
# A ticket that is numbered so much higher than the current one is none. Higher: one false one, and there is
# no number left for the next. Lower: after so many epochs that came to nothing no new one is found.
EPOCHS_AHEAD: Final = 1000
# Clocks of homeservers and of a conference's creator may differ by so much.
CLOCK_SKEW_MS: Final = 60_000

# The homeserver ends our announcement when it has not heard from us for so long, seconds, and hears from us
# so often. Lower: a short outage of it ends an announcement; higher: a dead conference is shown longer.
SWITCH_S: Final = 60.0
SWITCH_AGAIN_S: Final = 20.0
# Where it does not answer it is asked again after so long. Higher: one that comes back ends what is alive, or
# is told late that it lives. Lower: requests in vain.
SWITCH_RETRY_S: Final = 2.0
# A conference that nobody inside announces is announced by the first of them after so long; whoever announced
# it and leaves waits so long for that.
CARRY_ON_S: Final = 1.0
CARRIED_ON_S: Final = 5.0
# Where a switch, and nobody, ended it, it may go on: who comes then waits so long for those inside to say so.
# Lower: after an outage of the homeserver newcomers find none. Higher: a dead one holds them up.
CARRIED_AGAIN_S: Final = 8.0
# For so long after the switch was due. Lower: not after longer outages. Higher: who comes where the last one
# vanished without a word waits in vain for longer.
INTERRUPTED_S: Final = 3600.0

# Hands and reactions, seconds: a hand goes down by itself, is said again for newcomers at most so often, and
# one reaction follows another after so long (docs/protocol.md section 7).
HAND_S: Final = 1800.0
HAND_AGAIN_S: Final = 10.0
REACTION_S: Final = 2.0

# The call, seconds, and the invite's life in milliseconds.
FOCUS_JOIN_S: Final = 20.0
ANSWER_S: Final = 25.0
CONNECT_S: Final = 15.0
INVITE_LIFETIME_MS: Final = 60_000
# How often it is looked whether this machine still has the address that it sends from, seconds. Lower: work;
# higher: a change of network is noticed later.
NETWORK_LOOK_S: Final = 1.0
# A second connection, seconds: the first receives for so long beside it, so that pictures are there before it
# goes; and once the first is gone, too, attempts end after so long.
MOVE_S: Final = 2.0
# A membership that is lost sooner than this after its call is not called for again, seconds. Lower: a focus
# that takes calls and drops them is called without end.
CALL_AGAIN_S: Final = 10.0
RESUME_S: Final = 120.0
# A data channel over which nothing came, not even so many pings, is dead. Before the first welcome says how
# often they come, seconds. Lower: a busy focus is taken for a dead one; higher: longer without news.
PINGS_MISSED: Final = 2.5
CHANNEL_SILENCE_S: Final = 35.0

# Bytes of media in one RTP packet: with header, extensions, tag and pylibsrtp's own limit of 1356 to spare.
RTP_PAYLOAD_MAX: Final = 1100
# Packets kept per sent stream to be sent again. At 1.7 Mbit/s 512 packets are 2.5 s. Lower: late NACKs go
# unanswered.
HISTORY_PACKETS: Final = 512
# A hole in a stream is asked for after, again after, and given up after so many seconds. Asking earlier:
# needless repetition when packets overtake each other; giving up earlier: more key frames.
NACK_AFTER_S: Final = 0.01
NACK_AGAIN_S: Final = 0.1
NACK_GIVE_UP_S: Final = 1.0
# What was heard after a lost packet of sound waits for it so long, seconds, and a gap of so many packets is
# not waited for: the focus keeps 64. Higher: a loss delays a voice longer; lower: on long ways repairs come
# too late.
AUDIO_WAIT_S: Final = 0.2
AUDIO_HOLE_MAX: Final = 32
# Packets of sound kept to be sent again, a second and a quarter.
AUDIO_HISTORY_PACKETS: Final = 64
# Packets held for reordering of one slot. Higher: memory; lower: a burst of loss becomes a key frame request.
REORDER_MAX: Final = 512
# The largest jump in sequence numbers that is a hole and not another stream.
SEQUENCE_JUMP_MAX: Final = 1000
# One key frame request per slot in this time.
PLI_AGAIN_S: Final = 0.5
# Reports about what is sent and received; transport-wide feedback.
REPORT_S: Final = 1.0
FEEDBACK_S: Final = 0.1
# A tile that nothing came for, though it should, is said to stall after so long, seconds. Lower: a change of
# layers or one bad moment of the network is called so; higher: a focus that holds frames back shows later.
STALL_S: Final = 4.0
# A frame larger than this is not one (an uncompressed 720p picture has 1.4 MB).
FRAME_MAX_BYTES: Final = 2_000_000
