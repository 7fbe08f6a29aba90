"""Every limit of the control plane in one place, each with what a higher and a lower value would cost.

The fast path has its own: fastpath/limits.h.
"""

from typing import Final

# SDP. A browser's offer with 16 slot pairs is 37 kB (103 kB when it lists every codec it has, which does
# not fit a Matrix event anyway). Higher: more work for a hostile offer (64 KiB take 10 ms). Lower: large
# real offers fail.
SDP_MAX_BYTES: Final = 64 * 1024
# Higher: more work per offer. Lower: a 64 KiB offer of short lines no longer fits.
SDP_MAX_LINES: Final = 4000
# Higher: nothing real uses it. Lower: long candidate or fmtp lines (up to 500 characters seen) fail.
SDP_MAX_LINE: Final = 2048
# 2 x 16 slots, four sources and the data channel are 37; sections of closed sources stay in an SDP for
# ever.
SDP_MAX_SECTIONS: Final = 64
# Codecs of one section. Chromium lists 40 for video. Higher: more memory held per member.
SDP_MAX_PAYLOAD_TYPES: Final = 128
# Simulcast layers of one section. We use three; a few more are read so that the refusal can name them.
SDP_MAX_RIDS: Final = 8
# Candidates of one section; counted and otherwise ignored. Lower: a host with many interfaces is refused.
SDP_MAX_CANDIDATES: Final = 128
# Header extensions of one section; ids go up to 255. Chromium offers 13.
SDP_MAX_EXTENSIONS: Final = 64
# a=ssrc lines' different SSRCs in one section. Firefox: 2 per encoding, so 6.
SDP_MAX_SSRCS: Final = 32
# Fingerprints of the transport. Lower: a client that offers three digests of two certificates fails.
SDP_MAX_FINGERPRINTS: Final = 8
# What fits the worker's table (LIMIT_MID, LIMIT_RID, LIMIT_REMOTE_UFRAG) and a one-byte header extension.
SDP_MAX_MID: Final = 16
SDP_MAX_RID: Final = 16
SDP_MAX_UFRAG: Final = 64
# RFC 8839 5.4.
SDP_MAX_PWD: Final = 256
# MediaStream and track identifiers: 36 or 38 characters in browsers, 64 in RFC 8830.
SDP_MAX_MSID: Final = 128
# Slot pairs of one member (docs/protocol.md section 4). Higher: more table rows per member.
SLOT_MAX_PAIRS: Final = 16
# Audio slots of one member that belong to nobody. More than four voices at once nobody understands. Higher:
# more table rows per member. Lower: members who are only listening find fewer voices.
SLOT_MAX_LOUDEST: Final = 16
# Sending sections: four sources, each as frames and sealed. As many as a row of the table holds
# (fastpath/limits.h).
SENDERS_MAX: Final = 8
# Sealed sources that one receiver is given; others come to it as frames. Higher: P.sealed outgrows a message
# of 16 KiB. Lower: senders of larger conferences encode twice.
SEALED_MAX: Final = 64
# A receiver is told an inner index anew after so many: beyond 2**15 it would guess a wrong rollover counter.
INNER_INDEX_STEP: Final = 1 << 14

# DTLS. A datagram beyond this is not ours (browsers stay below 1,500). Higher: more memory per datagram.
DTLS_MAX_DATAGRAM: Final = 2048
# Payload of one UDP datagram of a handshake flight: fits IPv6's 1280 with room for a tunnel. Higher: lost
# on such paths.
DTLS_FLIGHT_MTU: Final = 1200
# A handshake that takes longer has failed; counted from its first datagram. Higher: half-open state is kept
# longer. Lower: people on networks that lose every second packet cannot join.
DTLS_HANDSHAKE_TIMEOUT: Final = 15.0
# First wait before our last flight is sent again, doubled each time up to the longest. Lower: needless
# repetition on slow paths. Higher: one lost datagram delays a join.
DTLS_RETRANSMIT_FIRST: Final = 0.25
DTLS_RETRANSMIT_LONGEST: Final = 2.0
# An unusable ClientHello makes a fresh start, at most so many at once and per second; what exceeds it is
# dropped. Higher: more processor time for an attacker (0.2 ms each). Lower: the true ClientHello waits
# longer among forged ones.
DTLS_RESTART_BURST: Final = 10
DTLS_RESTARTS_PER_SECOND: Final = 10.0
# Events and datagrams waiting to be taken; a caller that takes them after each call never has more than a
# few.
DTLS_MAX_EVENTS: Final = 256
DTLS_MAX_DATAGRAMS: Final = 1024
# One record's plaintext (RFC 6347 4.1.1, 2^14). SCTP packets are under 1,200.
DTLS_MAX_PLAINTEXT: Final = 16384

# Matrix call events. A homeserver takes 64 KiB; what is inside is bounded by the SDP limits above.
# Longest identifier (Matrix's own limit for user, room and device identifiers, MSC2746's for call_id).
ID_MAX: Final = 255
# Longest time an invite may claim to stay valid. Higher: a backlog is answered long after the caller left.
INVITE_LIFETIME_MAX_MS: Final = 120_000
# A stale invite is told so for this much longer, then only counted. Higher: after an outage the bot's few
# messages a second go to people who have given up. Lower: a caller is left to guess.
STALE_REPLY_MS: Final = 60_000
# Candidates in one event; they are read and ignored. Lower: hosts with many interfaces are refused.
CANDIDATES_MAX: Final = 128
# Streams in sdp_stream_metadata. A member has two (camera and screen). Higher: more memory per member.
STREAMS_MAX: Final = 16

# Tickets. How far `ts` may be from our clock (docs/protocol.md). Higher: a longer replay memory.
TICKET_SKEW_MS: Final = 5 * 60_000
# Proofs remembered per conference; each is remembered while its ts is acceptable. Higher: memory. Lower:
# a conference with that many joins in ten minutes turns people away.
TICKET_REPLAYS_MAX: Final = 10_000

# Epochs beside the current one that a member may have proved at one time: two, should two members propose at
# once. Higher: one member can make the others be told more. Lower: a member that proved one that comes to
# nothing cannot prove the other.
EPOCHS_PER_MEMBER: Final = 2
# Of all members', those that are told and that a newcomer's ticket is tried against (0.1 ms each).
EPOCHS_PROPOSED_MAX: Final = 8
# How much higher than the current one an epoch that is proved may be numbered. Higher: somebody who is alone
# inside uses the numbers up, and nobody is ever put out again. Lower: after so many epochs that came to
# nothing those who stay cannot agree on one.
EPOCHS_AHEAD: Final = 1000
# Seconds in which everybody inside has to prove an epoch that became current. Higher: who was removed stays
# longer. Lower: members on slow homeservers, who get the secret late, have to join again.
EPOCH_GRACE: Final = 30.0

# Calls of one person, or in one room, at once and per second; and of all people of one homeserver. Higher:
# whoever may call keeps a core of control busy (15 ms each). Lower: many who join a large meeting at once, or
# one whose network comes and goes, have to wait.
INVITE_BURST: Final = 10
INVITES_PER_SECOND: Final = 0.5
SERVER_INVITE_BURST: Final = 1000
SERVER_INVITES_PER_SECOND: Final = 30.0
# While the homeserver makes the bot wait (0.2 messages a second by default), and for so many seconds after
# the last time: this part of a person's and a room's calls and refusals per second. A call may cost two
# messages, the answer and the end of the membership it replaces. Higher: whoever calls on and on delays
# everybody's answers. Lower: somebody in trouble waits longer. Longer: the same, where a rush is over.
INVITE_SHARE_LIMITED: Final = 0.1
INVITE_LIMITED_S: Final = 300.0
# Whose are remembered. Lower: a flood of names gives each a fresh budget sooner.
INVITE_SENDERS_MAX: Final = 10_000
# Refusals sent to one sender, and how fast that refills. The homeserver gives the bot 0.2 messages a second
# by default. Higher: a stranger delays the answers of others. Lower: a client in trouble is left to guess.
REFUSAL_BURST: Final = 5
REFUSALS_PER_SECOND: Final = 0.1
REFUSAL_SENDERS_MAX: Final = 1000

# Conferences on this focus and members of one. Higher: every member is told of every other, which grows
# with the square. Lower: large meetings are turned away.
CONFERENCES_MAX: Final = 1000
# Of these one person may have begun. Higher: a few strangers take all there are. Lower: who begins many, one
# after another, waits until the empty ones are forgotten.
CONFERENCES_PER_CREATOR: Final = 10
# Of all conferences, how many percent people of one homeserver may have begun. Higher: one homeserver, which
# can make up people, takes them all. Lower: where there is only one, places stay empty.
CONFERENCES_SERVER_PERCENT: Final = 90
MEMBERS_MAX: Final = 500
# Devices of one person in one conference; a device's name is its bearer's own word. Higher: whoever has a
# ticket fills a worker alone. Lower: people with many devices are turned away.
MEMBERS_PER_USER: Final = 8
# A conference begins to use other workers when its own serves this many connections, of whatever
# conferences. In a large meeting one receives 300 to 500 packets a second (voices, thumbnails, one picture in
# full), at 2 to 3 us each: 250 of them are a third of a core. Higher: a core may be full before others help.
# Lower: packets are handed over (once for each other worker) where one core would do.
SPREAD_TRANSPORTS: Final = 250
# ... or when it is at work for this part of its time: with what its members send by and by half a core
# becomes a whole one. Higher: joins meet an overloaded worker. Lower: as above.
SPREAD_BUSY: Final = 0.5
# A worker that a conference is not on yet must serve this many fewer to be begun on. Higher: workers stay
# uneven. Lower: conferences of few are on several workers where many small ones fill them.
SPREAD_COST: Final = 32
# An empty conference is kept so long for somebody who reloads a page. Higher: memory of conferences nobody
# comes back to. Lower: a member's reload that takes longer meets an unknown conference.
CONFERENCE_LINGER: Final = 60.0

# From the answer to the first connectivity check, and from there to DTLS and the data channel. Higher:
# numbers and table rows are held for callers that never come. Lower: slow networks cannot join.
ICE_TIMEOUT: Final = 30.0
CHANNEL_TIMEOUT: Final = 30.0
# A second connection of a member is given so long until its data channel opens. Higher: rows are held for
# attempts that come to nothing. Lower: slow networks cannot resume.
RESUME_TIMEOUT: Final = 30.0
# The former connection goes on so long once the new one's channel is open, unless its client says that it has
# moved. Higher: a member is sent everything twice for longer. Lower: a picture is missed by a client that
# waits for the first key frame on a bad network.
RESUME_OVERLAP: Final = 10.0
# Members whose media is carried by a server with other tables are waited for so long, as that server goes on
# so long (control/moving.py). Higher: who is gone stays in the roster. Lower: who is slow has to call again.
AWAITED_TIMEOUT: Final = 120.0
# From the first of them whose second connection stands until all move together. Higher: clients give up,
# after 15 s. Lower: whoever needs several attempts is not seen while the others are there already.
GATHER_TIMEOUT: Final = 8.0
# Attempts of one member to resume, at once and per second; each costs up to 15 ms. Higher: whoever holds a
# token keeps a core busy. Lower: a client that finds its network step by step is turned away.
RESUME_BURST: Final = 5
RESUMES_PER_SECOND: Final = 0.2
# Characters of a request to resume: an SDP of 64 KiB as JSON, and the metadata. Lower: large offers fail.
RESUME_MAX_BYTES: Final = 128 * 1024
# Bytes of randomness in a resume token. Lower: might be guessed.
RESUME_TOKEN_BYTES: Final = 24

# m.call.ping; clients take the time of 2.5 without one for a dead channel. Higher: they notice later. Lower:
# traffic (500 members at 2 s cost 20 ms of control a second), and who is late once passes for dead.
PING_INTERVAL: Final = 2.0
# A ping goes so much too early with others that are due: the whole conference is looked at for each deadline.
# Higher: more of them at once. Lower: 500 members are 250 deadlines a second.
PING_SLACK: Final = 0.1

# Data channel. Bytes of one message, and of m.call.negotiate, which carries SDP.
MESSAGE_MAX_BYTES: Final = 16 * 1024
NEGOTIATE_MAX_BYTES: Final = 64 * 1024
# Messages per second of one member, with as many at once. Higher: more processor time for a hostile member
# (a message costs about 0.1 ms). Lower: a client that follows every resize of its window is cut off.
MESSAGES_PER_SECOND: Final = 50.0
MESSAGE_BURST: Final = 50
# Renegotiations, each up to 10 ms of work.
NEGOTIATES_PER_SECOND: Final = 1.0
NEGOTIATE_BURST: Final = 10
# Subscriptions of one member that differ from the default. Higher: memory and time per member.
SUBSCRIPTIONS_MAX: Final = 200
# Entries in one subscription message.
SUBSCRIPTION_ENTRIES_MAX: Final = 200
# What P.members takes in one message, so that it stays under the 16 KiB that clients may hold messages to:
# bytes of entries, of each beside its two identifiers (with all sources in both forms), and members gone.
# Higher: a client may refuse the roster. Lower: a large one comes in more messages, 40 us of control each.
ROSTER_PART_BYTES: Final = 13_000
ROSTER_ENTRY_BYTES: Final = 230
ROSTER_PART_GONE: Final = 400

# Highest priority of a subscription.
PRIORITY_MAX: Final = 9

# Most that senders are told, bit/s, unless the operator sets it. Of a camera's t, m and f: 180p, 360p and
# 720p VP8 of talking people look good at these. Higher: more of everybody's downlink. Lower: visible blocks
# when people move.
CAMERA_BITRATES: Final = (150_000, 500_000, 1_700_000)
# Of a screen, which is read: text in 1080p at 15 frames/s. Higher, lower: as above.
SCREEN_BITRATE: Final = 2_500_000
# Of audio as it is counted before it is measured: Opus at 32 kbit/s and 50 headers, tags and frame ends a
# second. Higher: pictures wait a moment for room that is there. Lower: the first seconds fill a slow link.
AUDIO_BITRATE: Final = 55_000
# REMB to a sender at most, in percent of all its encodings and sounds at their most: Chromium's own overhead
# and repair. Higher: a sender's uplink fills before it slows down by loss. Lower: `f` is starved.
REMB_PERCENT: Final = 125
# And never less than this, for whoever sends sound alone.
REMB_LEAST: Final = 300_000
# Viewers below this part of the median viewer's rate, in percent, are moved to a lower encoding instead of
# holding the others down (fastpath/clamp.h). Higher: many sit on lower encodings. Lower: one viewer may cost
# the others most of theirs.
SHARE_PERCENT: Final = 50
# Between these an operator may set bitrates. Below, no picture is worth having; above, one is a mistake.
BITRATE_LEAST, BITRATE_MOST = 30_000, 50_000_000
# Where Chromium's estimate of its uplink begins when we report arrivals to it; it finds congestion within a
# second, but grows by 8 % a second only. Higher: the first seconds flood a slow uplink. Lower: `f` comes late
# (30 s from Chromium's own 300 kbit/s).
START_BITRATE: Final = 2_500_000

# Between two messages of one kind about what changes by itself (P.send, P.speakers, P.layers); the first is
# said at once. Higher: a sender follows a falling network later. Lower: more messages, 40 us of control each.
MESSAGE_GAP: Final = 0.1
# P.members instead once in so long for each who is inside, where that is longer: from 50 on, 1 s for 500.
# Higher: who joins among many others is seen and heard later by those inside. Lower: 500 members are told
# 5,000 times a second of newcomers, half of control's core.
ROSTER_GAP_OF_EACH: Final = 0.002
# P.viewers, which people read. Higher: older. Lower: as above, for nobody who could see the difference.
VIEWERS_GAP: Final = 2.0
# A slot that came to show something else is not said to be paused before this: the worker looks at it within
# 100 ms. Higher: a pause is shown later. Lower: a pause is shown where there is none.
DEAL_SETTLE: Final = 0.5

# Data channels. One message from a member (docs/protocol.md section 4: 64 KiB for m.call.negotiate).
CHANNEL_MAX_MESSAGE: Final = 64 * 1024
# What may wait to be delivered to one member before its channel is given up. Higher: a slow reader costs
# more memory. Lower: a member behind a stalled radio link loses its channel, and must resume, sooner.
CHANNEL_MAX_BUFFERED: Final = 256 * 1024
# Above this, messages of which only the newest matters wait here instead, and rosters: less than a slow link
# takes in two seconds. Higher: a slow member sees an older state. Lower: a roster of hundreds comes slowly
# where the way is long.
CHANNEL_CONGESTED: Final = 48 * 1024
# Incomplete or disordered data held for one member, and the pieces it may come in (some 400 bytes each
# beside their content). Higher: more memory per hostile member. Lower: more is sent again on lossy paths.
SCTP_MAX_HELD_BYTES: Final = 128 * 1024
SCTP_MAX_HELD_CHUNKS: Final = 512
# How far ahead of what is complete a piece may be. Higher: longer SACKs.
SCTP_MAX_AHEAD: Final = 4096
# Streams a member may use; the client uses one. Higher: more memory per hostile member.
SCTP_MAX_STREAMS: Final = 64
# A data channel's opening message; label and protocol are in it.
DCEP_MAX_MESSAGE: Final = 512
# Packets handed to SCTP, per second and at once; the rest counts as lost. Each costs 20 to 70 us. Higher: a
# flooding member takes more of control's core. Lower: a 64 KiB message (60 packets) takes longer.
SCTP_PACKETS_PER_SECOND: Final = 1000.0
SCTP_PACKETS_BURST: Final = 500.0
# Messages waiting inside SCTP, of whatever size; only a member that acknowledges nothing gets there.
SCTP_MAX_QUEUED: Final = 4096

# Overload. A worker that works more than this part of its time (waiting for its core included) queues
# packets by tens of milliseconds. Higher: people hear gaps before anything is given up. Lower: a core that
# could carry more does not.
OVERLOAD_BUSY: Final = 0.85
# Or: this part of its packets waited more than 50 ms for it, as where its core is taken by others. Higher: as
# above. Lower: a machine that is busy with something else for seconds turns people away.
OVERLOAD_LATE: Final = 0.5
# Packets in a second of which this is a part, at least. Higher: a starved worker with few members is not
# noticed. Lower: six checks of those who join, late because their browsers start, turn the next one away.
OVERLOAD_PACKETS: Final = 100
# Below this there is room to give something back: full resolution is up to three quarters of a worker's
# packets. Higher: steps are taken back and forth. Lower: thumbnails for longer than needed.
OVERLOAD_IDLE: Final = 0.5
# Seconds above the first before a step, and between two. Higher: overload lasts longer. Lower: a moment's
# burst, as of 50 people who join at once, costs resolution; and a step is not seen to work before the next.
OVERLOAD_STEP: Final = 3.0
# Seconds below the second before a step back; doubled up to the longest when the step had to be taken again
# within what is remembered. Higher: people wait for their pictures. Lower: pictures change back and forth.
OVERLOAD_RELIEF: Final = 10.0
OVERLOAD_RELIEF_LONGEST: Final = 160.0
OVERLOAD_REMEMBERED: Final = 60.0
# What thumbnails have of their rate in the last step, in percent. Lower: not worth looking at.
OVERLOAD_THUMBNAILS: Final = 50
# New members are refused while less is left. Descriptors: HTTP connections, files, the homeserver. Memory:
# a member costs control about 0.3 MiB, and a sync answer much. Disk: keys and the position in the timeline.
# Higher: people are turned away for nothing. Lower: what goes on fails, too.
DESCRIPTORS_LEAST: Final = 32
MEMORY_LEAST: Final = 64 << 20
DISK_LEAST: Final = 16 << 20
