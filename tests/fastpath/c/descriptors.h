/* Dependency descriptors, written bit by bit as libwebrtc sends them. */
#ifndef SOTTO_DESCRIPTORS_H
#define SOTTO_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct writer {
    uint8_t bytes[512];
    size_t at;
};

static inline void put(struct writer *writer, uint32_t value, unsigned count)
{
    while (count-- > 0) {
        if (value >> count & 1) writer->bytes[writer->at / 8] |= (uint8_t)(0x80 >> writer->at % 8);
        writer->at++;
    }
}

static inline size_t size_of(const struct writer *writer)
{ return (writer->at + 7) / 8; }

static inline void mandatory(struct writer *writer, bool start, bool end, unsigned template_id, uint16_t number)
{
    put(writer, start, 1);
    put(writer, end, 1);
    put(writer, template_id, 6);
    put(writer, number, 16);
}

static inline void put_dtis(struct writer *writer, const char *dtis)
{
    for (; *dtis; dtis++) put(writer, (uint32_t)(strchr("-DSR", *dtis) - "-DSR"), 2);
}

/* One spatial, three temporal layers as libwebrtc sends them: targets T0..T2 (lowest first), one chain. Templates: key T0, delta T0, T1,
   T2 after T0, T2 after T1. */
static inline void put_l1t3(struct writer *writer, unsigned offset, bool resolution)
{
    put(writer, offset, 6);
    put(writer, 3 - 1, 5);
    static const unsigned next[] = {0, 1, 1, 0, 3};
    for (int i = 0; i < 5; i++) put(writer, next[i], 2);
    static const char *const dtis[] = {"SSS", "SSS", "-DS", "--D", "--D"};
    for (int i = 0; i < 5; i++) put_dtis(writer, dtis[i]);
    static const unsigned fdiffs[] = {0, 4, 2, 1, 1};
    for (int i = 0; i < 5; i++) {
        if (fdiffs[i]) {
            put(writer, 1, 1);
            put(writer, fdiffs[i] - 1, 4);
        }
        put(writer, 0, 1);
    }
    put(writer, 1, 2); /* chains: ns(4) */
    /* all three protected by chain 0: ns(1) takes no bits */
    static const unsigned chain[] = {0, 4, 2, 1, 3};
    for (int i = 0; i < 5; i++) put(writer, chain[i], 4);
    put(writer, resolution, 1);
    if (resolution) {
        put(writer, 1280 - 1, 16);
        put(writer, 720 - 1, 16);
    }
}

static inline struct writer key_frame(uint16_t number, unsigned offset)
{
    struct writer writer = {0};
    mandatory(&writer, true, false, offset, number);
    put(&writer, 0x10, 5); /* structure */
    put_l1t3(&writer, offset, true);
    return writer;
}

static inline struct writer delta(uint16_t number, unsigned template_id)
{
    struct writer writer = {0};
    mandatory(&writer, true, true, template_id, number);
    return writer;
}

#endif
