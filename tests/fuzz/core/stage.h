/* A small conference around a real worker, driven by bytes. */
#ifndef SOTTO_FUZZ_STAGE_H
#define SOTTO_FUZZ_STAGE_H

#include "input.h"
#include "scene.h"

enum { STAGE_MEMBERS = 3 };

/* Each of three members sends a microphone (mid 0, source 2 n) and a camera with three encodings (mid 1, source 2 n + 1), and has slots of
 * both others: sinks 8 n + 2 k of the sound, 8 n + 2 k + 1 of the picture of member k. All are connected, at every call anew: the scene is
 * the same for the whole process, because memory costs more than all the rest, and every row gets another incarnation. */
struct scene *stage_begin(enum srtp_profile profile);
/* Another worker on the same table; at most twice for one input, because it takes as long as a hundred packets. */
void stage_restart(struct scene *scene);
/* Sends what stands in the slab nowhere. */
void stage_flush_unread(struct scene *scene);
/* Encrypts the bytes as the member would and hands them to the worker: as RTP under index = 65536 * turn + sequence number, or as RTCP. What
 * is no packet at all comes as it is. */
void stage_rtp(struct scene *scene, uint32_t member, unsigned turn, const uint8_t *bytes, size_t length);
void stage_rtcp(struct scene *scene, uint32_t member, const uint8_t *bytes, size_t length);
/* The next step of the input:
 *   byte  kind in the lower four bits, member in the next two, how long since the last in the upper two (0, 1 ms, 20 ms, 300 ms)
 *   0 to 2: word length, bytes   RTP in clear, RTCP in clear, a datagram as it is
 *   3: a check; 4: a step of 10 s at most; 5: Opus; 6 to 8: VP8 of encoding 0, 1, 2 by a byte of flags and a byte of size
 *   9: a message from control; 10: another worker on the same table; 11: a sink's row; 12: from an address nobody knows
 *   13: the last NACKable numbers asked for again */
void stage_step(struct scene *scene, struct input *input);

#endif
