/* The clear bytes of each codec. */
#include "input.h"
#include "payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = exact_copy(data, size);
    struct vp8_descriptor vp8, again;
    for (int codec = CODEC_OPUS; codec <= CODEC_AV1; codec++)
        CHECK(payload_key_start_untrusted((enum codec)codec, bytes, size) <= 1);
    if (vp8_parse_untrusted(bytes, size, &vp8) == 0) {
        CHECK(vp8.length < size);
        vp8_rewrite(bytes, &vp8, 0x7fff, 0xff);
        CHECK_EQUAL(vp8_parse_untrusted(bytes, size, &again), 0);
        CHECK(again.length == vp8.length && again.key_frame == vp8.key_frame);
        if (vp8.picture_id_bits)
            CHECK_EQUAL(again.picture_id, vp8.picture_id_bits == 7 ? 0x7f : 0x7fff);
    }
    free(bytes);
    return 0;
}
