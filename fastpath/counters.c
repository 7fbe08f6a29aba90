#include "counters.h"

const struct counter_description counter_descriptions[COUNTER_COUNT] = {
#define X(name, help) {#name, help},
    COUNTERS(X)
#undef X
};
