/* ICE-lite (RFC 8445) as a worker does it by itself: checks authenticated and answered, addresses remembered, one of them selected,
 * consent (RFC 7675) kept. An address is learned here and nowhere else: no RTP, RTCP or DTLS packet ever moves a peer. */
#ifndef SOTTO_ICE_H
#define SOTTO_ICE_H

#include <stdint.h>

#include "worker.h"

/* A datagram that RFC 7983 calls STUN. */
void ice_receive_untrusted(struct worker *worker, const struct datagram *in, uint64_t now_ns);
/* Expires the consent of a transport when it is time, once. */
void ice_check_consent(struct worker *worker, uint32_t transport, uint64_t now_ns);
/* Says to control what a full queue or a restart kept from it. */
void ice_tell(struct worker *worker, uint32_t transport, uint64_t now_ns);
/* A DTLS datagram from control to the selected address. */
void ice_send_dtls(struct worker *worker, uint32_t transport, const uint8_t *bytes, size_t length, uint64_t now_ns);

#endif
