/* The least a C test needs: checks that say where they failed, bytes from hex, and a fixed sequence
   of random numbers. */
#ifndef SOTTO_CHECK_H
#define SOTTO_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

#define CHECK_EQUAL(found, wanted)                                                                                   \
    do {                                                                                                             \
        long long found_value = (long long)(found), wanted_value = (long long)(wanted);                              \
        if (found_value != wanted_value) {                                                                           \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #found, found_value, wanted_value); \
            exit(1);                                                                                                 \
        }                                                                                                            \
    } while (0)

#define CHECK_BYTES(found, wanted, length) CHECK(memcmp(found, wanted, length) == 0)

/* Writes the bytes of `hex` and returns how many. */
static inline size_t hex_bytes(const char *hex, uint8_t *out)
{
    size_t count = 0;
    for (; hex[0] != 0 && hex[1] != 0; hex += 2) {
        char pair[3] = {hex[0], hex[1], 0};
        out[count++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return count;
}

/* A copy whose last byte is the last of its allocation, so that the address sanitizer sees every
   overread. The caller frees. */
static inline uint8_t *exact_copy(const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    if (copy == NULL) abort();
    if (length > 0) memcpy(copy, bytes, length);
    return copy;
}

/* xorshift64*: the same sequence in every run. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

static inline void random_fill(uint64_t *state, uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)(random_next(state) >> 32);
}

#endif
