/* RTP padding on the hop that makes packets of one receiver equally long, because only equal packets form a run (egress.h): packetisers cut a frame
 * about equally, into packets one byte apart, which the planner would send as two runs.
 *
 * Nobody knows the frame's longest packet when its first one comes, so lengths are rounded up to a grid: packets one byte apart end on the same length
 * except when a line of the grid lies between them (one frame in EQUAL_GRID). What it costs is half a grid on average: 8 bytes of 1100.
 *
 * The padding is the same for all sinks and goes behind the payload once, where the sender's authentication tag stood: `room` is what is free there.
 * Never on what is sealed end to end as RTP (RFC 8723): padding is part of what was sealed. Not on packets of padding only. */
#ifndef SOTTO_EQUAL_SIZES_H
#define SOTTO_EQUAL_SIZES_H

#include <stddef.h>
#include <stdint.h>

/* A power of two, at most the tag of AEAD_AES_128_GCM. Higher: more frames in one run, more padding. Lower: the reverse; 1 = no padding. */
#define EQUAL_GRID 16u
/* Shorter payloads are left alone: they are the last of a frame or audio, and end a run as they are. */
#define EQUAL_FROM 400u
/* Longer ones too: with our header and tag they come near what every path takes. */
#define EQUAL_UP_TO 1200u

/* Bytes of padding to add to a payload of `length` with `room` bytes free behind it; 0 = none. */
static inline uint8_t equal_padding(size_t length, size_t room)
{
    size_t padding = (EQUAL_GRID - length % EQUAL_GRID) % EQUAL_GRID;
    return length < EQUAL_FROM || length > EQUAL_UP_TO || padding > room ? 0 : (uint8_t)padding;
}

/* Writes `padding` (1 or more) bytes as RFC 3550 5.1 wants them; the P bit in the header is for the caller. */
static inline void equal_padding_write(uint8_t *behind, uint8_t padding)
{
    for (uint8_t i = 0; i + 1 < padding; i++) behind[i] = 0;
    behind[padding - 1] = padding;
}

#endif
