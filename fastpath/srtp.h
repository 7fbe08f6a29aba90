/* SRTP and SRTCP (RFC 3711, RFC 7714) on state that lives in the table: struct srtp_rx_state and
 * srtcp_rx_state for what arrives, an index stored before encrypting for what leaves. Keys are
 * private to the process and can be derived from the transport's row at any time.
 *
 * A kill at any instruction fails closed: a packet whose function returned 0 is never accepted
 * again, and no index is used twice for encryption. Errors are negative errno values; nothing
 * allocates but srtp_keys_expand. */
#ifndef SOTTO_SRTP_H
#define SOTTO_SRTP_H

#include <stddef.h>
#include <stdint.h>

#include "crypto.h"
#include "table.h"

/* Bytes a packet grows by at most: tag 16, and for SRTCP the index word. */
#define SRTP_OVERHEAD_MAX 16
#define SRTCP_OVERHEAD_MAX 20
#define SRTP_INDEX_LIMIT (1ull << 48) /* RFC 3711 3.3.1: ROC << 16 | SEQ */
#define SRTCP_INDEX_LIMIT (1u << 31)

/* What one direction of one transport needs; process-private, 2.2 KiB, aligned to 64 bytes also on
   the heap (aligned_alloc). All zero = no keys. */
struct srtp_keys {
    struct crypto_key rtp, rtcp;
    uint8_t rtp_salt[16], rtcp_salt[16]; /* session salts, 12 or 14 bytes used, then zeros */
    uint16_t profile;                    /* enum srtp_profile; SRTP_NONE = no keys */
    uint8_t tag_size;                    /* bytes an RTP packet grows by */
    uint8_t reserved[5];
};

/* Derives the session keys (RFC 3711 4.3, key derivation rate 0; RFC 7714 11). `keys` must hold no
   live keys. 0, -EINVAL (unknown profile), -ENOMEM. */
int srtp_keys_expand(struct srtp_keys *keys, enum srtp_profile profile, const struct srtp_key *master);
/* Frees and zeroes; harmless on zeroed memory and a second time. */
void srtp_keys_wipe(struct srtp_keys *keys);

/* The entry of `ssrc` among the LIMIT_RX_SSRCS of a transport (as every `rx` below), or NULL.
   Entries are claimed by srtp_unprotect_untrusted only. */
struct srtp_rx_state *srtp_rx_find(struct srtp_rx_state *rx, uint32_t ssrc);

/* Authenticates and decrypts one RTP packet in place. `packet` holds *length bytes of which the
   first header_length (CSRCs and extension included, as rtp_parse found) stay clear; *length
   becomes what is left without the tag. *index is the 48-bit packet index. An unknown SSRC gets a
   free entry and rollover counter 0, but only after its packet authenticated.
   0; -EINVAL lengths, version or SSRC 0; -EBADMSG wrong tag; -EALREADY replayed or older than the
   window; -ENOSPC a new SSRC and no entry is free. On an error the payload may be garbage and the
   state is unchanged. */
int srtp_unprotect_untrusted(const struct srtp_keys *keys, struct srtp_rx_state *rx,
                             uint8_t *packet, size_t *length, size_t header_length, uint64_t *index);

/* Makes one SRTP packet in `out`, where the caller wrote the whole header of header_length bytes;
   `payload` is read from elsewhere (shared by many receivers), or stands at out + header_length
   already. `index` must have been stored in the table before (projection.highest_index >= index),
   its low 16 bits are the header's sequence number, and it is never given twice for one SSRC and
   key.
   Returns the length of the packet: header_length + payload_length + keys->tag_size.
   -EINVAL lengths or another sequence number in the header, -ENOBUFS it does not fit `capacity`,
   -EOVERFLOW index is 2^48 or more, -EIO. */
int srtp_protect(const struct srtp_keys *keys, uint64_t index, uint8_t *out, size_t capacity,
                 size_t header_length, const uint8_t *payload, size_t payload_length);

/* Makes the compound RTCP packet of `length` bytes SRTCP, in place. Takes *tx_index, stores
   *tx_index + 1 in the table before encrypting. *tx_index belongs to the SSRC the packet begins
   with (its first sender SSRC). Returns the new length; -EINVAL, -ENOBUFS, -EIO as above;
   -EOVERFLOW when the 2^31 indices are used up. */
int srtcp_protect(const struct srtp_keys *keys, uint32_t *tx_index, uint8_t *packet, size_t length, size_t capacity);

/* Authenticates and decrypts one SRTCP packet in place; entries are found by the first sender SSRC
   and claimed after authentication. Packets without the E bit are refused: WebRTC encrypts RTCP
   always (RFC 8827 6.5). Returns as srtp_unprotect_untrusted; *length becomes the length of the
   compound packet. */
int srtcp_unprotect_untrusted(const struct srtp_keys *keys, struct srtcp_rx_state *rx,
                              uint8_t *packet, size_t *length);

#endif
