/* One outgoing RTP stream (a receive slot), continuous over any switch of what it carries, and safe against a kill.
 *
 * The stream is a chain of runs. Within a run output index = input index + offset, so gaps of the input stay visible: the receiver can
 * ask for them. Each run begins one above everything used before, hence runs never overlap, and a packet that was overtaken by its own
 * run's beginning is refused. The row holds an index at least as great as every index given out, stored before it is returned: a killed
 * worker's successor goes on from the row alone. What the caller must see to: one (source, incarnation, SSRC) is one space
 * of input indices, and each of them comes at most once (the ingress replay window, kept in the table, does both).
 *
 * Rules of time and numbers were measured in Chromium and Firefox: sequence numbers contiguous, never backwards; video
 * timestamp = last + wall time elapsed, audio in whole 20 ms steps; VP8 picture id and TL0PICIDX go on by one. */
#ifndef SOTTO_PROJECTION_H
#define SOTTO_PROJECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "table.h"

/* One packet as it was received: the same for every sink. */
struct projection_input {
    uint32_t source, source_incarnation;
    uint32_t ssrc; /* of the received packet */
    uint32_t timestamp;
    uint64_t index;  /* its SRTP index, ROC << 16 | SEQ */
    uint32_t window; /* which beginning of its replay window it passed: with another one the same indices may come once more (worker.windows) */
    uint16_t picture_id;
    uint8_t picture_id_bits; /* 0 (none), 7 or 15: see payload.h */
    uint8_t has_tl0, tl0;
    uint8_t encoding;
};

struct projection_output {
    uint64_t index; /* SRTP index to encrypt with; its low 16 bits are the sequence number */
    uint32_t timestamp;
    uint16_t picture_id; /* in the input's width; both only if the input has them */
    uint8_t tl0;
};

/* A forward jump of the input is shown to the receiver as a gap, but as one of at most PROJECTION_GAP_AT_ONCE packets plus
   PROJECTION_GAP_PER_MS for each millisecond since the frame before, and never more than PROJECTION_MAX_GAP. A hole must stay visible:
   rewriting hides loss from decoders, and nobody would ask for the key frame. But 2^15 indices that a receiver did not see make
   it guess a wrong rollover counter, for good: without the bound, a sender that skips numbers, or was muted for long, could
   spoil the slot of everyone whose network fails for a moment.
     MAX_GAP: higher = nearer to that; lower than 1000 = browsers ask for every packet of a long hole instead of a key frame.
     AT_ONCE: higher = a hostile sender needs a shorter failure; lower = packets overtaken by more than this are refused.
     PER_MS:  likewise; 4 is 38 Mbit/s of lost packets. */
#define PROJECTION_MAX_GAP 1024
#define PROJECTION_GAP_AT_ONCE 32
#define PROJECTION_GAP_PER_MS 4

/* The copy that counts. Before anything was sent: started 0, source is not meaningful. */
static inline const struct projection *projection_current(const struct projection copies[2])
{
    uint32_t first = copies[0].version, second = copies[1].version;
    return second != 0 && (first == 0 || (int32_t)(second - first) > 0) ? &copies[1] : &copies[0];
}

/* Is the packet of what the stream carries now? */
static inline bool projection_carries(const struct projection *current, const struct projection_input *input)
{
    return current->started && current->source == input->source &&
           current->source_incarnation == input->source_incarnation &&
           current->input_ssrc == input->ssrc && current->encoding == input->encoding;
}

/* Cut over: this packet begins a new run. For video it must be the first packet of a key frame; audio may be cut anywhere. `audio`
   chooses the rule of time. `random` is used by the first run ever: low 15 bits the sequence number (below 2^15, so that
   a receiver who misses the first packets cannot guess a wrong rollover counter), high 32 bits the timestamp.
   0: encrypt with `output`; the row is stored. Nothing is stored with -EOVERFLOW: the 2^48 indices are used up, or -EINVAL: a
   clock rate below 1000. */
int projection_begin(struct projection copies[2], const struct projection_input *input, bool audio,
                     uint32_t clock_rate, uint64_t random, uint64_t now_ns, struct projection_output *output);

/* As projection_begin, for a sealed sink: timestamps stay, and each encoding is a stream of its own (its SSRC is), so each has its own
   indices. `parked`: by encoding, where the state row keeps what each had come to. Killed anywhere, no index of any of them comes twice:
   what the encoding before had used is stored before the row that tells of another. */
int projection_begin_sealed(struct projection copies[2], uint64_t *const parked[LIMIT_ENCODINGS],
                            const struct projection_input *input, uint64_t random, uint64_t now_ns,
                            struct projection_output *output);

/* A packet of the current run. 0: encrypt with `output`; the row is stored. -EXDEV: the stream carries something else (begin a
   run, or drop it); -ESTALE: of before the run began; -EOVERFLOW as above. Nothing is stored then. */
int projection_map(struct projection copies[2], const struct projection_input *input,
                   uint64_t now_ns, struct projection_output *output);

/* A packet of the current run that is left out on purpose (padding only): what follows closes up, so that the receiver does not
   ask for it. 0, or -ESTALE when it is not the very next one: then it stays a gap, unless it is
   mapped and sent as the padding it is. -EXDEV as above. Late packets of before it are refused from now on. */
int projection_skip(struct projection copies[2], const struct projection_input *input);

/* The stream carries nothing from now on; the next packet must begin a run. Needed when a source was muted or left. */
void projection_end(struct projection copies[2]);

/* Output timestamp that stands for the moment `now_ns`, for sender reports. Only once started. */
uint32_t projection_timestamp_at(const struct projection *current, uint32_t clock_rate, uint64_t now_ns);

#endif
