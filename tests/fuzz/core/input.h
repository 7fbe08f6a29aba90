/* A fuzz target is one function on bytes. It stops the process (by a sanitizer, CHECK or abort) when something is wrong. */
#ifndef SOTTO_FUZZ_INPUT_H
#define SOTTO_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of the input; reads 0 behind its end. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t input_byte(struct input *input)
{
    if (input->left == 0) return 0;
    input->left--;
    return *input->at++;
}

static inline uint16_t input_word(struct input *input)
{
    uint16_t high = input_byte(input);
    return (uint16_t)(high << 8 | input_byte(input));
}

/* The next bytes, at most `length`, as an allocation of their own size: every overread is seen. The caller frees. */
static inline uint8_t *input_take(struct input *input, size_t length, size_t *taken)
{
    *taken = length < input->left ? length : input->left;
    uint8_t *copy = exact_copy(input->at, *taken);
    input->at += *taken;
    input->left -= *taken;
    return copy;
}

#endif
