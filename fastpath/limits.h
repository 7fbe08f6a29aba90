/* Every capacity, size and interval of the fast path, each with what a higher and a lower value costs. */
#ifndef SOTTO_LIMITS_H
#define SOTTO_LIMITS_H

/* Capacities of one worker's table; the creator may choose smaller ones (they stand in the segment's header).
   Higher: more shared memory allocated at start (about 19 KiB a transport, 0.3 KiB a sink). Lower: joins refused earlier. */
#define LIMIT_TRANSPORTS 2048
#define LIMIT_SOURCES 8192
#define LIMIT_SINKS 65536

/* Workers of one server, and what one of them hands over to another at most before it is taken (handover_ring.h). Higher: 1 MiB for every ordered
   pair, up to 128 MiB in all; packets of before a stall wait for longer. Lower: a pause of a worker (a successor begins within 100 ms) loses
   pictures of more than 80 Mbit/s. */
#define LIMIT_WORKERS 32
#define LIMIT_HANDOVER_BYTES (1u << 20)

/* Room for counters in a state segment. Higher: 8 B each. Lower: a build with one more counter is another layout. */
#define LIMIT_COUNTERS 128

/* Sources one transport may send: microphone, camera, screen, screen audio, each as frames and sealed. Higher: a longer search per unknown
   SSRC. */
#define LIMIT_SOURCES_PER_TRANSPORT 8
/* Simulcast encodings of one source: t, m, f. */
#define LIMIT_ENCODINGS 3
/* SSRCs one transport may use towards us, RTX included: 1 + 3*2 + 3*2 + 1 = 14 for the four sources, twice. Higher: more state
   a hostile peer can claim (each costs a replay window of 128 B). Lower: a legitimate RTX or screen SSRC finds no room. */
#define LIMIT_RX_SSRCS 32
/* SRTP replay window in packets (RFC 3711 3.3.2 asks for 64 at least). Higher: 1 bit of state each. Lower: late packets of a
   reordering network are refused. */
#define LIMIT_REPLAY_WINDOW 1024
/* SRTCP replay window in packets; RTCP is sparse. */
#define LIMIT_RTCP_REPLAY_WINDOW 128
/* Authenticated addresses remembered for one transport. Higher: more addresses may send us DTLS. Lower: a client that checks
   from several interfaces loses the earlier ones. */
#define LIMIT_PATHS 4

/* ICE credentials. Ours are made to fit; a peer's longer user fragment is refused when the invite is answered (RFC 8445
   allows 256, browsers use 4 to 8). */
#define LIMIT_LOCAL_UFRAG 16
#define LIMIT_LOCAL_PWD 32
#define LIMIT_REMOTE_UFRAG 64
#define LIMIT_MID 16
#define LIMIT_RID 16

/* Largest datagram received or made. Higher: larger slabs. Lower: jumbo senders are cut (browsers stay below 1250). */
#define LIMIT_DATAGRAM 1500
/* Datagrams taken from the kernel in one recvmmsg by a pressed worker (others: HOLDING_BATCH), and relayed together: RELAY_BATCH. Higher: longer runs
   under load, more delay for the first of the batch, 70 kB of buffers each, and a killed worker that was pressed loses up to so many. Lower: what a
   busy worker held is cut into batches again, and so are runs. */
#define LIMIT_RX_BATCH 256
/* Datagrams one batch may produce before they are flushed. Higher: more slab memory (1.6 KiB each, touched in a ring).
   Lower: shorter UDP_SEGMENT runs. */
#define LIMIT_EGRESS 4096
/* Segments and bytes of one UDP_SEGMENT message (kernel: UDP_MAX_SEGMENTS 64 before 6.x, 65,507 B of payload). */
#define LIMIT_RUN_SEGMENTS 64
#define LIMIT_RUN_BYTES 65000

/* Packets of one destination that are planned into runs together. Higher: longer runs out of many small streams, at a cost
   that grows with its square. Lower: runs end sooner. At most 64. */
#define LIMIT_RUN_WINDOW 64

/* Shortest time between two looks at all timers. Higher: reports and expiry come later. Lower: an idle worker scans more. */
#define LIMIT_SCAN_NS (20ull * 1000000ull)
/* Longest sleep of a worker's loop. Higher: an older heartbeat, a later look at a generation nobody announced. Lower: wakes. */
#define LIMIT_SLEEP_NS (250ull * 1000000ull)
/* Messages held for control while it does not read. Higher: 2 KiB each. Lower: DTLS flights of a burst of joins are lost
   (their senders repeat them after a second; events are said again). */
#define LIMIT_OUTBOX 512
/* DTLS datagrams of one transport passed up in LIMIT_SCAN_NS: 3200 a second. Higher: one member can fill the queue that all
   share. Lower: a data channel carries less. */
#define LIMIT_DTLS_PER_SCAN 64

/* Consent (RFC 7675): nothing is sent to a peer whose last authenticated request is older. It expires 30 s after that left the peer,
   so half a second is left for its way here and for that of the last packet back. Higher: longer sending at a gone peer, and beyond
   30 s for one that is far. Lower: a short radio hole ends the call (a peer asks again every 5 s, browsers every 2.5). */
#define LIMIT_CONSENT_NS (29500ull * 1000000ull)
/* A message between worker and control: one datagram plus its head. */
#define LIMIT_UPLINK_PAYLOAD 2048
/* Receiver reports and REMB to a sender, sender reports on slots. Higher: slower RTT and rate start. Lower: more RTCP. */
#define LIMIT_REPORT_INTERVAL_NS (1000ull * 1000000ull)
/* Key-frame requests to one sender: the first at once, then at most one in this time, all its viewers and encodings merged.
   Higher: a viewer who missed it waits longer. Lower: encoders spend their rate on key frames. */
#define LIMIT_KEY_REQUEST_INTERVAL_NS (200ull * 1000000ull)
/* Who waits for a key frame stops waiting after this. Higher: a camera that cannot answer is asked longer. Lower: a request
   lost several times on a bad uplink is given up, and browsers repeat theirs only after 3 s. */
#define LIMIT_KEY_WAIT_NS (3000ull * 1000000ull)
/* At most this many key-frame requests of one receiver are passed on in 10 s. Higher: one broken receiver costs every other
   viewer bitrate. Lower: a receiver on a lossy path freezes longer. */
#define LIMIT_KEY_REQUESTS_PER_SINK 3
#define LIMIT_KEY_REQUESTS_WINDOW_NS (10ull * 1000000000ull)
/* An encoding from which nothing came for so long is taken as stopped; its viewers are moved to a lower one. Higher: a longer
   freeze when a sender stops full resolution. Lower: a stall of the sender's uplink costs resolution. */
#define LIMIT_ENCODING_SILENT_NS (600ull * 1000000ull)

/* A datagram that says it waited in the kernel for longer came now. Higher: a clock that was set back makes senders believe in a queue. Lower: what a
   stall of this worker delayed looks like a queue of the network. */
#define LIMIT_ARRIVED_NS (200ull * 1000000ull)

#endif
