/* Every counter of the fast path, named and described once: C enum, Python names, Prometheus series and docs come from here.
   X(name, prometheus help). All are monotonic totals of one worker. Drops end in _dropped and say why in the name. */
#ifndef SOTTO_COUNTERS_H
#define SOTTO_COUNTERS_H

#include <stdint.h>

#define COUNTERS(X)                                                                               \
    X(rx_datagrams, "Datagrams received")                                                         \
    X(rx_bytes, "Bytes of UDP payload received")                                                  \
    X(tx_datagrams, "Datagrams given to the kernel")                                              \
    X(tx_bytes, "Bytes of UDP payload given to the kernel")                                       \
    X(tx_messages, "Messages given to the kernel, each a run of one or more datagrams")           \
    X(tx_kernel_refused_dropped, "Datagrams the kernel refused (full buffer or route gone)")      \
    X(egress_full_dropped, "Datagrams not made because the egress slab of the batch was full")    \
    X(rx_truncated_dropped, "Datagrams longer than the receive buffer")                           \
    X(unknown_address_dropped,                                                                    \
      "Datagrams other than STUN from an address that passed no ICE check")                       \
    X(demux_unknown_dropped, "Datagrams of no known kind by their first byte (RFC 7983)")         \
    X(stun_requests, "STUN Binding requests that authenticated")                                  \
    X(stun_malformed_dropped, "STUN messages that are malformed or of another method or class")   \
    X(stun_unknown_user_dropped, "STUN requests whose user name names no transport")              \
    X(stun_unauthenticated_dropped, "STUN requests with a wrong or missing MESSAGE-INTEGRITY")    \
    X(path_nominated, "Nominations and changes of a peer's address, all authenticated")           \
    X(consent_expired, "Transports whose consent expired (RFC 7675)")                             \
    X(dtls_up, "DTLS datagrams handed to control")                                                \
    X(dtls_down, "DTLS datagrams sent for control")                                               \
    X(uplink_full_dropped, "Messages to control lost because its queue was full")                 \
    X(downlink_invalid_dropped,                                                                   \
      "Messages from control that were malformed or for a gone transport")                        \
    X(rtp_received, "RTP packets that authenticated")                                             \
    X(rtp_received_bytes, "Bytes of RTP packets that authenticated")                              \
    X(rtp_forwarded, "RTP packets encrypted for receivers")                                       \
    X(rtp_forwarded_bytes, "Bytes of RTP packets encrypted for receivers")                        \
    X(rtp_unkeyed_dropped, "RTP packets before the transport has keys")                           \
    X(rtp_malformed_dropped, "RTP packets with a malformed header")                               \
    X(rtp_unauthenticated_dropped, "RTP packets whose SRTP tag is wrong")                         \
    X(rtp_replayed_dropped, "RTP packets seen before or older than the replay window")            \
    X(rtp_ssrc_limit_dropped, "RTP packets of an SSRC beyond the limit of their transport")       \
    X(rtp_unknown_source_dropped, "RTP packets that belong to no declared source")                \
    X(rtp_padding_dropped, "RTP packets of padding only")                                         \
    X(rtp_muted_dropped, "RTP packets of a source that said it is muted")                         \
    X(rtp_unsubscribed, "RTP packets nobody wanted at the time")                                  \
    X(rtp_late_dropped, "RTP packets of before a switch, too late for their slot")                \
    X(rtcp_received, "RTCP packets that authenticated")                                           \
    X(rtcp_sent, "RTCP packets sent")                                                             \
    X(rtcp_malformed_dropped, "RTCP packets that are malformed")                                  \
    X(rtcp_unauthenticated_dropped, "RTCP packets whose SRTCP tag is wrong or replayed")          \
    X(key_requests_received, "Key-frame requests (PLI, FIR) from receivers")                      \
    X(key_requests_merged, "Key-frame requests merged with another or over a limit")              \
    X(key_requests_sent, "Key-frame requests sent to senders")                                    \
    X(sink_switches, "Sinks cut over to another source or encoding")                              \
    X(generations_adopted, "Generations of the configuration taken over")                         \
    X(rows_invalid_dropped, "Configuration rows refused because their check value is wrong")      \
    X(index_exhausted_dropped, "Packets not sent because an SRTP index is used up")               \
    X(internal_errors, "Things that cannot happen; each is a bug")                                \
    X(stun_address_taken_dropped,                                                                 \
      "STUN requests from an address that belongs to another live member")                        \
    X(rtx_received, "RTP packets of retransmission streams that authenticated")                   \
    X(nacks_received, "NACK messages from receivers")                                             \
    X(remb_received, "REMB messages from receivers")                                              \
    X(dtls_limited_dropped, "DTLS datagrams beyond what one transport may pass up at once")       \
    X(nacks_sent, "NACK messages sent to senders")                                                \
    X(nacks_sent_packets, "Packets asked for in them, each time they were asked for")             \
    X(gaps_filled, "Missing packets of senders that came after all, late or retransmitted")       \
    X(gaps_given_up, "Key frames asked for because a gap was not filled in time")                 \
    X(rtx_unwrapped, "Retransmitted packets of senders taken for the original")                   \
    X(rtx_useless_dropped, "Retransmitted packets of senders that had come before or too late")   \
    X(rtx_sent, "Packets retransmitted to receivers")                                             \
    X(rtx_sent_bytes, "Bytes of packets retransmitted to receivers")                              \
    X(audio_sent_again, "Audio packets sent to receivers once more, as they were")                \
    X(rtx_not_kept, "Packets receivers asked for that were not in the history, or not any more")  \
    X(rtx_limited_dropped, "Packets not retransmitted because their receiver may get no more")    \
    X(recovery_refused, "Sources that are not repaired because memory was short")                 \
    X(transport_cc_sent, "Transport-wide feedback messages sent to senders")                      \
    X(transport_cc_received, "Transport-wide feedback messages from receivers")                   \
    X(transport_cc_malformed,                                                                     \
      "Transport-wide feedback messages from receivers that are malformed")                       \
    X(estimate_drops, "Falls of a receiver's estimate by more than 5 %")                          \
    X(probes_sent, "Probes of what a receiver's link carries")                                    \
    X(probe_padding_bytes, "Bytes sent to fill probes, over retransmission streams")              \
    X(pacing_waited, "Packets that waited because their receiver's link was busy")                \
    X(waiting_dropped, "Packets that found no place to wait; receivers see a gap and ask again")  \
    X(waiting_gone, "Packets that waited for a slot or a history that was there no more")         \
    X(dependency_malformed, "Dependency descriptors that are malformed")                          \
    X(dependency_unknown, "Dependency descriptors whose structure is not known")                  \
    X(waiting_superseded, "Packets that waited when a key frame took their place")                \
    X(rtx_superseded, "Packets receivers asked for that a key frame had taken the place of")      \
    X(tx_full_dropped, "Packets the socket had no room for, pictures first")                      \
    X(handed_over, "Packets handed over to another worker, each time")                            \
    X(handover_taken, "Packets taken from another worker")                                        \
    X(handover_full_dropped, "What another worker was not told because its ring was full")        \
    X(handover_stale_dropped, "Packets of another worker that waited for too long")               \
    X(handover_repeated_dropped, "Packets of another worker that were taken before")              \
    X(handover_unknown_dropped, "What another worker told of sources that are not there")         \
    X(handover_invalid_dropped, "Records of another worker that make no sense")                   \
    X(handover_asked, "Packets asked of another worker, each time they were asked for")           \
    X(loop_turns, "Turns of the worker's loop")                                                   \
    X(loop_busy_us, "Time the worker was at work; its rate is its load")                          \
    X(delay_500us, "Packets sent at most 0.5 ms after what they came from arrived at the kernel") \
    X(delay_1ms, "Packets sent after 0.5 to 1 ms")                                                \
    X(delay_2ms, "Packets sent after 1 to 2 ms")                                                  \
    X(delay_5ms, "Packets sent after 2 to 5 ms")                                                  \
    X(delay_10ms, "Packets sent after 5 to 10 ms")                                                \
    X(delay_50ms, "Packets sent after 10 to 50 ms")                                               \
    X(delay_more, "Packets sent after more than 50 ms")                                           \
    X(delay_sum_us, "Microseconds between arrival and sending, summed over packets")              \
    X(sealed_malformed_dropped, "Sealed packets too short for their tag, or with a spoilt OHB")   \
    X(rtp_received_audio, "Packets of rtp_received that are audio")                               \
    X(rtp_received_video, "Packets of rtp_received that are video")                               \
    X(rtp_received_bytes_audio, "Bytes of rtp_received that are audio")                           \
    X(rtp_received_bytes_video, "Bytes of rtp_received that are video")                           \
    X(rtp_forwarded_audio, "Packets of rtp_forwarded that are audio")                             \
    X(rtp_forwarded_video, "Packets of rtp_forwarded that are video")                             \
    X(rtp_forwarded_bytes_audio, "Bytes of rtp_forwarded that are audio")                         \
    X(rtp_forwarded_bytes_video, "Bytes of rtp_forwarded that are video")                         \
    X(rx_messages, "Messages taken from the kernel, each of one or more datagrams")               \
    X(batch_1, "Batches of one message from the kernel")                                          \
    X(batch_2, "Batches of two")                                                                  \
    X(batch_4, "Batches of 3 or 4")                                                               \
    X(batch_8, "Batches of 5 to 8")                                                               \
    X(batch_16, "Batches of 9 to 16")                                                             \
    X(batch_32, "Batches of 17 to 32")                                                            \
    X(batch_more, "Batches of more")                                                              \
    X(run_1, "Messages to the kernel of one datagram")                                            \
    X(run_2, "Messages of a run of two")                                                          \
    X(run_4, "Messages of a run of 3 or 4")                                                       \
    X(run_8, "Messages of a run of 5 to 8")                                                       \
    X(run_16, "Messages of a run of 9 to 16")                                                     \
    X(run_more, "Messages of a run of more")                                                      \
    X(shed_higher_dropped,                                                                        \
      "Packets not sent under overload: of pictures above the lowest encoding")                   \
    X(shed_lowest_dropped, "Packets not sent under overload: of pictures' lowest encodings")      \
    X(shed_voice_dropped, "Audio packets not relayed under overload, too late to be of use")

enum counter {
#define X(name, help) COUNTER_##name,
    COUNTERS(X)
#undef X
        COUNTER_COUNT
};

struct counter_description {
    const char *name;
    const char *help;
};
extern const struct counter_description counter_descriptions[COUNTER_COUNT];

#endif
