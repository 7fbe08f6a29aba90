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
# 2 x 16 slots, four sources and the data channel are 37; sections of closed sources stay in an SDP for ever.
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
