#include "rtx.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "replay.h"
#include "srtp.h"

int rtx_unwrap_untrusted(const uint8_t *payload, size_t length, uint16_t *osn,
                         const uint8_t **original, size_t *left)
{
    if (length == 0) return 1;
    if (length < RTX_OSN_SIZE) return -EBADMSG;
    *osn = load_be16(payload);
    *original = payload + RTX_OSN_SIZE;
    *left = length - RTX_OSN_SIZE;
    return *left == 0;
}

int rtx_accept(struct srtp_rx_state *media, uint16_t osn, uint64_t *index)
{
    if (!media || !media->used) return -ENOENT;
    int16_t ahead = (int16_t)(uint16_t)(osn - (uint16_t)media->highest);
    if (ahead < 0 && media->highest < (uint64_t)-ahead)
        return -EALREADY; /* of before the stream began */
    uint64_t guess = media->highest + (uint64_t)(int64_t)ahead;
    if (ahead > (int)RTX_AHEAD || guess >= SRTP_INDEX_LIMIT) return -ERANGE;
    if (replay_refuses(media->window, LIMIT_REPLAY_WINDOW, media->highest, guess)) return -EALREADY;
    replay_accept(media->window, LIMIT_REPLAY_WINDOW, &media->highest, guess);
    *index = guess;
    return 0;
}

int rtx_take_index(uint64_t *next, uint64_t random, uint64_t *index)
{
    /* Below 2^15 first, so that who misses the beginning cannot guess a wrong rollover counter; 0 means not begun. */
    uint64_t taken = *next ? *next : (random & 0x7fff) + 1;
    if (taken >= SRTP_INDEX_LIMIT) return -EOVERFLOW;
    *(volatile uint64_t *)next = taken + 1;
    table_barrier();
    *index = taken;
    return 0;
}

int rtx_write(uint8_t *out, size_t room, const struct rtp_outgoing *header, uint16_t osn,
              const uint8_t *payload, size_t length)
{
    if (room < RTP_HEADER_MAX || room - RTP_HEADER_MAX < RTX_OSN_SIZE + length) return -ENOSPC;
    size_t at = rtp_header_write(out, header);
    store_be16(out + at, osn);
    if (length) memcpy(out + at + RTX_OSN_SIZE, payload, length);
    return (int)at;
}

int rtp_padding_write(uint8_t *out, size_t room, const struct rtp_outgoing *header, unsigned padding)
{
    if (padding == 0 || padding > UINT8_MAX) return -EINVAL;
    if (room < RTP_HEADER_MAX + padding) return -ENOSPC;
    size_t at = rtp_header_write(out, header);
    out[0] |= 0x20; /* P */
    memset(out + at, 0, padding - 1);
    out[at + padding - 1] = (uint8_t)padding;
    return (int)at;
}
