#include "rtp.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"

int rtp_parse_untrusted(const uint8_t *packet, size_t length, struct rtp_header *header)
{
    if (length < RTP_FIXED_HEADER || length > UINT16_MAX) return -EBADMSG;
    if (packet[0] >> 6 != 2) return -EBADMSG;
    uint8_t csrc_count = packet[0] & 0x0f;
    size_t at = RTP_FIXED_HEADER + (size_t)csrc_count * 4;
    if (length < at) return -EBADMSG;

    *header = (struct rtp_header){
        .timestamp = load_be32(packet + 4),
        .ssrc = load_be32(packet + 8),
        .sequence = load_be16(packet + 2),
        .payload_type = packet[1] & 0x7f,
        .marker = packet[1] >> 7,
        .csrc_count = csrc_count,
        .padding = packet[0] >> 5 & 1,
    };
    if (packet[0] & 0x10) {
        if (length - at < 4) return -EBADMSG;
        size_t extension_length = (size_t)load_be16(packet + at + 2) * 4;
        header->extension_profile = load_be16(packet + at);
        at += 4;
        if (length - at < extension_length) return -EBADMSG;
        header->extension_offset = (uint16_t)at;
        header->extension_length = (uint16_t)extension_length;
        at += extension_length;
    }
    header->payload_offset = (uint16_t)at;
    return 0;
}

int rtp_padding_untrusted(const uint8_t *packet, size_t length, const struct rtp_header *header)
{
    if (!header->padding) return 0;
    if (length <= header->payload_offset) return -EBADMSG;
    uint8_t padding = packet[length - 1];
    if (padding == 0 || padding > length - header->payload_offset) return -EBADMSG;
    return padding;
}

struct element {
    size_t next; /* where to read on */
    struct rtp_field data;
    uint8_t id;
};

/* The element at or after `at`, padding skipped: 1, or 0 at the end, or -EBADMSG. RFC 8285 4.2 and 4.3. */
static int element_next(const uint8_t *packet, const struct rtp_header *header, size_t at, struct element *element)
{
    size_t end = (size_t)header->extension_offset + header->extension_length;
    while (at < end && packet[at] == 0) at++;
    if (at >= end) return 0;
    size_t length;
    if (header->extension_profile == 0xbede) {
        element->id = packet[at] >> 4;
        /* 15 is reserved, and 0 with a length is no padding: both end the extensions here without being an error. */
        if (element->id == 15 || element->id == 0) return 0;
        length = (size_t)(packet[at] & 0x0f) + 1;
        at += 1;
    } else {
        if (end - at < 2) return -EBADMSG;
        element->id = packet[at];
        length = packet[at + 1];
        at += 2;
    }
    if (end - at < length) return -EBADMSG;
    element->data = (struct rtp_field){.offset = (uint16_t)at, .length = (uint8_t)length};
    element->next = at + length;
    return 1;
}

/* The appbits of the two-byte form (the x of 0x100x) carry nothing yet. */
static bool has_elements(const struct rtp_header *header)
{ return header->extension_profile == 0xbede || (header->extension_profile & 0xfff0) == 0x1000; }

int rtp_extension_find(const uint8_t *packet, const struct rtp_header *header, uint8_t id, struct rtp_field *found)
{
    *found = (struct rtp_field){0};
    if (!has_elements(header)) return 0;
    struct element element = {.next = header->extension_offset};
    int got;
    while ((got = element_next(packet, header, element.next, &element)) > 0) {
        if (element.id == id) {
            *found = element.data;
            return 1;
        }
    }
    return got;
}

static void keep_first(struct rtp_field *field, struct rtp_field data, size_t shortest, size_t longest)
{
    if (field->offset == 0 && data.length >= shortest && data.length <= longest) *field = data;
}

int rtp_extensions_read_untrusted(const uint8_t *packet, const struct rtp_header *header,
                                  const struct extension_ids *ids, struct rtp_extensions *found)
{
    *found = (struct rtp_extensions){0};
    if (!has_elements(header)) return 0;
    struct element element = {.next = header->extension_offset};
    int got;
    while ((got = element_next(packet, header, element.next, &element)) > 0) {
        /* An id is never 0 here, so extensions that were not negotiated match nothing. */
        if (element.id == ids->mid)
            keep_first(&found->mid, element.data, 1, LIMIT_MID);
        else if (element.id == ids->rid)
            keep_first(&found->rid, element.data, 1, LIMIT_RID);
        else if (element.id == ids->repaired_rid)
            keep_first(&found->repaired_rid, element.data, 1, LIMIT_RID);
        else if (element.id == ids->audio_level)
            keep_first(&found->audio_level, element.data, 1, 1);
        else if (element.id == ids->abs_send_time)
            keep_first(&found->abs_send_time, element.data, 3, 3);
        else if (element.id == ids->transport_cc)
            keep_first(&found->transport_cc, element.data, 2, 2);
        else if (element.id == ids->dependency_descriptor)
            keep_first(&found->dependency_descriptor, element.data, 1, UINT8_MAX);
    }
    return got;
}

int rtp_text_untrusted(const uint8_t *packet, struct rtp_field field, char *text, size_t room)
{
    if (field.offset == 0 || field.length == 0 || field.length > room) return -EBADMSG;
    for (size_t i = 0; i < field.length; i++) {
        uint8_t letter = packet[field.offset + i];
        if (letter < 0x21 || letter > 0x7e) return -EBADMSG;
        text[i] = (char)letter;
    }
    return field.length;
}

/* Head of one element; returns where its data goes. */
static uint8_t *element_head(uint8_t *to, bool two_byte, uint8_t id, size_t length)
{
    if (two_byte) {
        to[0] = id;
        to[1] = (uint8_t)length;
        return to + 2;
    }
    to[0] = (uint8_t)(id << 4 | (length - 1));
    return to + 1;
}

static size_t extensions_write(uint8_t *to, const struct rtp_outgoing *outgoing)
{
    bool two_byte = outgoing->audio_level_id > 14 || outgoing->abs_send_time_id > 14 ||
                    outgoing->transport_cc_id > 14 || outgoing->mid_id > 14;
    uint8_t *at = to + 4;
    if (outgoing->audio_level_id) {
        at = element_head(at, two_byte, outgoing->audio_level_id, 1);
        *at++ = outgoing->audio_level;
    }
    if (outgoing->abs_send_time_id) {
        at = element_head(at, two_byte, outgoing->abs_send_time_id, 3);
        store_be24(at, outgoing->abs_send_time);
        at += 3;
    }
    if (outgoing->transport_cc_id) {
        at = element_head(at, two_byte, outgoing->transport_cc_id, 2);
        store_be16(at, outgoing->transport_cc);
        at += 2;
    }
    if (outgoing->mid_id && outgoing->mid_length > 0 && outgoing->mid_length <= LIMIT_MID) {
        at = element_head(at, two_byte, outgoing->mid_id, outgoing->mid_length);
        memcpy(at, outgoing->mid, outgoing->mid_length);
        at += outgoing->mid_length;
    }
    while ((at - to) % 4 != 0) *at++ = 0;
    size_t length = (size_t)(at - to);
    if (length == 4) return 0; /* nothing to say: no head either */
    store_be16(to, two_byte ? 0x1000 : 0xbede);
    store_be16(to + 2, (uint16_t)((length - 4) / 4));
    return length;
}

size_t rtp_header_write(uint8_t *to, const struct rtp_outgoing *outgoing)
{
    size_t length = RTP_FIXED_HEADER;
    to[0] = 0x80;
    to[1] = (uint8_t)((outgoing->marker ? 0x80 : 0) | (outgoing->payload_type & 0x7f));
    store_be16(to + 2, outgoing->sequence);
    store_be32(to + 4, outgoing->timestamp);
    store_be32(to + 8, outgoing->ssrc);
    if (outgoing->padding) to[0] |= 0x20;
    if (outgoing->csrc_count) {
        size_t bytes = (size_t)(outgoing->csrc_count & 15) * 4;
        to[0] |= outgoing->csrc_count & 15;
        memcpy(to + length, outgoing->csrcs, bytes);
        length += bytes;
    } else if (outgoing->csrc) {
        to[0] |= 1;
        store_be32(to + length, outgoing->csrc);
        length += 4;
    }
    size_t extensions = extensions_write(to + length, outgoing);
    if (extensions) to[0] |= 0x10;
    return length + extensions;
}
