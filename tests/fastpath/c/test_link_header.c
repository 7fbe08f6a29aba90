/* Headers of what leaves by a packet socket. That Linux takes them so: tests/fastpath/test_packet_socket.py. */
#include "bytes.h"
#include "check.h"
#include "link_header.h"

static const struct link_way WAY = {.link_from = {2, 0, 0, 0, 0, 1},
                                    .link_to = {2, 0, 0, 0, 0, 0x99},
                                    .from = {192, 0, 2, 1},
                                    .to = {198, 51, 100, 7},
                                    .port_from = 40001,
                                    .port_to = 50002};

static uint16_t sum_of(const uint8_t *bytes, size_t length)
{ return link_fold(link_sum(bytes, length)); }

static void test_one_datagram(void)
{
    uint8_t out[LINK_HEADER_SIZE], wanted[LINK_HEADERS];
    link_header_write(out, &WAY, 100, 100, 0x1234);
    hex_bytes("02000000009902000000000108004500008012340000401180"
              "00c0000201c63364079c41c352006c0000",
              wanted);
    store_be16(wanted + 24, load_be16(out + LINK_VIRTIO_SIZE + 24));
    store_be16(wanted + 40, load_be16(out + LINK_VIRTIO_SIZE + 40));
    CHECK_BYTES(out + LINK_VIRTIO_SIZE, wanted, LINK_HEADERS);
    CHECK_EQUAL(sum_of(out + LINK_VIRTIO_SIZE + 14, 20), 0xffff);
    CHECK_EQUAL(out[0], 1);
    CHECK_EQUAL(out[1], 0);
    uint16_t sizes[4];
    memcpy(sizes, out + 2, sizeof sizes);
    CHECK_EQUAL(sizes[0], 42);
    CHECK_EQUAL(sizes[1], 0);
    CHECK_EQUAL(sizes[2], 34);
    CHECK_EQUAL(sizes[3], 6);
    /* What stands in the UDP sum is the pseudo header's: addresses, protocol, length. */
    uint8_t pseudo[12] = {192, 0, 2, 1, 198, 51, 100, 7, 0, 17, 0, 108};
    CHECK_EQUAL(load_be16(out + LINK_VIRTIO_SIZE + 40), sum_of(pseudo, 12));
}

static void test_a_run_says_where_to_cut(void)
{
    uint8_t out[LINK_HEADER_SIZE];
    link_header_write(out, &WAY, 8 * 1112, 1112, 0xffff);
    uint16_t sizes[4];
    memcpy(sizes, out + 2, sizeof sizes);
    CHECK_EQUAL(out[1], 5);
    CHECK_EQUAL(sizes[1], 1112);
    CHECK_EQUAL(load_be16(out + LINK_VIRTIO_SIZE + 16), 28 + 8 * 1112);
    CHECK_EQUAL(load_be16(out + LINK_VIRTIO_SIZE + 38), 8 + 8 * 1112);
    CHECK_EQUAL(sum_of(out + LINK_VIRTIO_SIZE + 14, 20), 0xffff);
}

int main(void)
{
    test_one_datagram();
    test_a_run_says_where_to_cut();
    return 0;
}
