/* Replay windows: RFC 3711 3.3.2, as rings of `bits` bits (a multiple of 64; bit index % bits), so
   that nothing is shifted. They live in the table and must survive a kill at any instruction. */
#ifndef SOTTO_REPLAY_H
#define SOTTO_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table.h"

/* Whether `index` was accepted before or is too old to know. */
static inline bool replay_refuses(const uint64_t *words, size_t bits, uint64_t highest, uint64_t index)
{
    if (index > highest) return false;
    if (highest - index >= bits) return true;
    size_t bit = (size_t)(index % bits);
    return words[bit / 64] >> (bit % 64) & 1;
}

/* Marks `index` as accepted. Each step leaves a window that refuses at least what was accepted
   before:
   1. the bit of `index` - until step 2 it says an older packet was seen, which refuses one packet
      too many;
   2. `highest` - the bits between the old and the new one still speak of packets that are now too
      old: refused too;
   3. these bits are cleared, and only now may late packets take them. */
static inline void replay_accept(uint64_t *words, size_t bits, uint64_t *highest, uint64_t index)
{
    const uint64_t before = *highest;
    const size_t bit = (size_t)(index % bits);
    words[bit / 64] |= 1ull << (bit % 64);
    table_barrier();
    if (index <= before) return;
    *highest = index;
    table_barrier();
    if (index - before >= bits) {
        for (size_t i = 0; i < bits / 64; i++) words[i] = i == bit / 64 ? 1ull << (bit % 64) : 0;
    } else {
        for (uint64_t i = before + 1; i < index; i++)
            words[i % bits / 64] &= ~(1ull << (i % bits % 64));
    }
    table_barrier();
}

#endif
