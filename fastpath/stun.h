/* STUN Binding requests as ICE sends them, and our answers (RFC 8489, RFC 8445 7). An ICE-lite
 * agent sends no checks, so this is all the STUN there is. What fails is dropped in silence: an
 * error response to somebody who proved nothing is a reflector, and no ICE agent does anything
 * better with 400 or 420 than with nothing.
 *
 * No function allocates. Errors are negative errno values. */
#ifndef SOTTO_STUN_H
#define SOTTO_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table.h"

#define STUN_HEADER_SIZE 20
/* Largest response: header, XOR-MAPPED-ADDRESS of IPv6, MESSAGE-INTEGRITY, FINGERPRINT. */
#define STUN_RESPONSE_MAX (20 + 24 + 24 + 8)

/* Our user fragments begin with four letters that name the transport's handle (20 bits), so that a
   worker finds the transport of a check without a table of names. The letters that follow are
   random. */
#define STUN_UFRAG_HANDLE_LETTERS 4
#define STUN_UFRAG_HANDLES (1u << 20)
_Static_assert(LIMIT_TRANSPORTS <= STUN_UFRAG_HANDLES, "handles fit the user fragment");

struct stun_address {
    uint8_t family; /* 4 or 6 */
    uint8_t reserved;
    uint16_t port;     /* host order */
    uint8_t bytes[16]; /* IPv4 in the first four */
};

/* What a request says. Nothing of it may be acted upon before stun_request_authenticate returned 0.
   Points into the datagram. Only attributes before MESSAGE-INTEGRITY are in here. */
struct stun_request {
    const uint8_t *bytes;
    const uint8_t *username; /* "ours:theirs" as on the wire, not NUL-terminated */
    uint64_t tie_breaker;    /* of ICE-CONTROLLING or ICE-CONTROLLED */
    uint32_t priority;       /* 0 = absent */
    uint16_t length;
    uint16_t username_length;
    uint16_t integrity_offset; /* of the MESSAGE-INTEGRITY attribute, from the first byte */
    bool use_candidate;
    bool controlling; /* ICE-CONTROLLING present */
    bool controlled; /* ICE-CONTROLLED present: it has our role wrong; we stay controlled and may ignore it */
};

/* Parses a datagram that RFC 7983 calls STUN (first byte 0..3). 0, or -EINVAL: no Binding request,
   malformed, without USERNAME, MESSAGE-INTEGRITY or a right FINGERPRINT (RFC 8445 7.1 wants all
   three), or with an attribute that must be understood and is not. */
int stun_request_parse_untrusted(const uint8_t *bytes, size_t length, struct stun_request *request);

/* Compares the whole user name with "local_ufrag:remote_ufrag" and the HMAC-SHA1 under local_pwd,
   in constant time. 0, -ENOENT (another user name, or empty credentials) or -EACCES (wrong
   MESSAGE-INTEGRITY). */
int stun_request_authenticate(const struct stun_request *request, const struct ice_credentials *credentials);

/* Writes the success response to an authenticated request: XOR-MAPPED-ADDRESS of `mapped`,
   MESSAGE-INTEGRITY under local_pwd, FINGERPRINT. Returns its length, never above the request's;
   -EINVAL (family), -ENOBUFS (capacity), -EMSGSIZE (the request is shorter than its answer: no ICE
   agent makes one so short). */
int stun_response_build(const struct stun_request *request, const struct ice_credentials *credentials,
                        const struct stun_address *mapped, uint8_t *out, size_t capacity);

/* The handle a user fragment (or a user name that begins with one) names, or TABLE_NONE. */
uint32_t stun_ufrag_handle(const void *ufrag, size_t length);
/* Writes the four letters of `handle` (below STUN_UFRAG_HANDLES), without NUL. */
void stun_ufrag_write(uint32_t handle, char letters[STUN_UFRAG_HANDLE_LETTERS]);

#endif
