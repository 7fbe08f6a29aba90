/* RTP headers, their extensions in every form, padding. */
#include "input.h"
#include "rtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct extension_ids narrow = {4, 10, 11, 1, 2, 3, 12, 0},
                                      wide = {4, 10, 200, 1, 2, 3, 255, 0};
    uint8_t *bytes = exact_copy(data, size);
    struct rtp_header header;
    if (rtp_parse_untrusted(bytes, size, &header) == 0) {
        struct rtp_extensions found;
        struct rtp_field field;
        char text[LIMIT_RID];
        CHECK(header.payload_offset <= size);
        int padding = rtp_padding_untrusted(bytes, size, &header);
        CHECK(padding < 0 || header.payload_offset + (size_t)padding <= size);
        for (unsigned i = 0; i < 2; i++) {
            rtp_extensions_read_untrusted(bytes, &header, i ? &wide : &narrow, &found);
            const struct rtp_field *fields = &found.mid;
            for (size_t k = 0; k < sizeof found / sizeof *fields; k++)
                CHECK(fields[k].offset == 0 || (size_t)fields[k].offset + fields[k].length <= header.payload_offset);
            int length = rtp_text_untrusted(bytes, found.rid, text, sizeof text);
            CHECK(length < 0 || (size_t)length <= sizeof text);
        }
        for (unsigned id = 0; id < 256; id++)
            if (rtp_extension_find(bytes, &header, (uint8_t)id, &field) == 1)
                CHECK((size_t)field.offset + field.length <= header.payload_offset);
    }
    free(bytes);
    return 0;
}
