/* STUN: the messages of RFC 5769, what must be met with silence, and messages cut at every byte. */
#include "check.h"
#include "stun.h"

#include <errno.h>

/* RFC 5769 2.1, and the credentials it was made with. */
static const char rfc_5769_request[] = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207"
                                       "465737420636c69656e74002400046e0001ff80290008932ff9"
                                       "b151263b36000600096576746a3a68367659202020000800149aeaa70cb"
                                       "fd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";

static struct ice_credentials credentials_make(const char *ours, const char *password, const char *theirs)
{
    struct ice_credentials made;
    memset(&made, 0, sizeof made);
    made.local_ufrag_length = (uint8_t)strlen(ours);
    made.local_pwd_length = (uint8_t)strlen(password);
    made.remote_ufrag_length = (uint8_t)strlen(theirs);
    memcpy(made.local_ufrag, ours, made.local_ufrag_length);
    memcpy(made.local_pwd, password, made.local_pwd_length);
    memcpy(made.remote_ufrag, theirs, made.remote_ufrag_length);
    return made;
}

static struct ice_credentials rfc_5769_credentials(void)
{ return credentials_make("evtj", "VOkJxbRl1RmTxUk/WvJxBt", "h6vY"); }

static void test_rfc_5769(void)
{
    uint8_t message[128];
    const size_t length = hex_bytes(rfc_5769_request, message);
    const struct ice_credentials credentials = rfc_5769_credentials();
    struct stun_request request;
    CHECK_EQUAL(stun_request_parse_untrusted(message, length, &request), 0);
    CHECK_EQUAL(request.username_length, 9);
    CHECK_BYTES(request.username, "evtj:h6vY", 9);
    CHECK_EQUAL(request.priority, 0x6e0001ff);
    CHECK(request.controlled && !request.controlling && !request.use_candidate);
    CHECK_EQUAL(request.tie_breaker, 0x932ff9b151263b36ull);
    CHECK_EQUAL(stun_request_authenticate(&request, &credentials), 0);

    const struct {
        struct ice_credentials credentials;
        int result;
    } others[] = {
        {credentials_make("evtj", "VOkJxbRl1RmTxUk/WvJxBu", "h6vY"), -EACCES},
        {credentials_make("evtj", "VOkJxbRl1RmTxUk/WvJxB", "h6vY"), -EACCES},
        {credentials_make("evtk", "VOkJxbRl1RmTxUk/WvJxBt", "h6vY"), -ENOENT},
        {credentials_make("evtj", "VOkJxbRl1RmTxUk/WvJxBt", "h6vZ"), -ENOENT},
        {credentials_make("evtj", "VOkJxbRl1RmTxUk/WvJxBt", "h6v"), -ENOENT},
        {credentials_make("evtj:h6", "VOkJxbRl1RmTxUk/WvJxBt", "Y"), -ENOENT},
        {credentials_make("evt", "VOkJxbRl1RmTxUk/WvJxBt", "jh6vY"), -ENOENT},
        {credentials_make("", "", ""), -ENOENT},
        {credentials_make("evtj", "", "h6vY"), -ENOENT},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK_EQUAL(stun_request_authenticate(&request, &others[i].credentials), others[i].result);
    struct ice_credentials corrupt = credentials;
    corrupt.local_pwd_length = LIMIT_LOCAL_PWD + 1;
    CHECK_EQUAL(stun_request_authenticate(&request, &corrupt), -ENOENT);
}

/* RFC 5769 2.2 and 2.3 without their SOFTWARE attribute, which we do not send: checked as aioice
   reads them in test_stun_aioice.py; here the masked addresses, which are the RFC's, and the sizes. */
static void test_responses(void)
{
    uint8_t message[128], out[STUN_RESPONSE_MAX], wanted[20];
    const size_t length = hex_bytes(rfc_5769_request, message);
    const struct ice_credentials credentials = rfc_5769_credentials();
    struct stun_request request;
    CHECK_EQUAL(stun_request_parse_untrusted(message, length, &request), 0);

    struct stun_address mapped = {.family = 4, .port = 32853, .bytes = {192, 0, 2, 1}};
    CHECK_EQUAL(stun_response_build(&request, &credentials, &mapped, out, sizeof out), 64);
    hex_bytes("002000080001a147e112a643", wanted);
    CHECK_BYTES(out + 20, wanted, 12);
    CHECK_BYTES(out + 4, message + 4, 16);

    mapped.family = 6;
    hex_bytes("20010db8123456780011223344556677", mapped.bytes);
    CHECK_EQUAL(stun_response_build(&request, &credentials, &mapped, out, sizeof out), 76);
    uint8_t masked[24];
    hex_bytes("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9", masked);
    CHECK_BYTES(out + 20, masked, 24);

    CHECK_EQUAL(stun_response_build(&request, &credentials, &mapped, out, 75), -ENOBUFS);
    request.length = 75; /* never more bytes out than came in */
    CHECK_EQUAL(stun_response_build(&request, &credentials, &mapped, out, sizeof out), -EMSGSIZE);
    mapped.family = 5;
    CHECK_EQUAL(stun_response_build(&request, &credentials, &mapped, out, sizeof out), -EINVAL);
}

/* Every cut with its true and with its claimed length, every single byte changed, and garbage of
   every length, in memory that ends where the message does. */
static void test_broken_messages(void)
{
    uint8_t message[128], bytes[LIMIT_DATAGRAM + 4];
    const size_t length = hex_bytes(rfc_5769_request, message);
    struct stun_request request;
    for (size_t cut = 0; cut < length; cut++) {
        for (int truthful = 0; truthful < 2; truthful++) {
            uint8_t *copy = exact_copy(message, cut);
            if (truthful && cut >= 20) {
                copy[2] = 0;
                copy[3] = (uint8_t)(cut - 20);
            }
            CHECK_EQUAL(stun_request_parse_untrusted(copy, cut, &request), -EINVAL);
            free(copy);
        }
    }
    for (size_t at = 0; at < length; at++)
        for (unsigned value = 1; value < 256; value++) {
            uint8_t *copy = exact_copy(message, length);
            copy[at] ^= (uint8_t)value;
            CHECK_EQUAL(stun_request_parse_untrusted(copy, length, &request), -EINVAL);
            free(copy);
        }
    uint64_t seed = 8;
    for (size_t size = 0; size <= sizeof bytes; size++)
        for (int round = 0; round < 20; round++) {
            random_fill(&seed, bytes, sizeof bytes);
            memcpy(bytes, message, 20);
            bytes[2] = (uint8_t)((size - 20) >> 8);
            bytes[3] = (uint8_t)(size - 20);
            /* short attributes of all kinds, so that the walk gets far */
            for (size_t at = 20; round > 1 && at + 4 <= sizeof bytes;) {
                const uint16_t kinds[] = {0x06, 0x08, 0x24, 0x25, 0x8028, 0x8029, 0x802a, 0xc057};
                const uint16_t kind = kinds[random_next(&seed) % 8];
                const uint8_t sizes[] = {0, 4, 8, 20, (uint8_t)random_next(&seed)};
                bytes[at] = (uint8_t)(kind >> 8);
                bytes[at + 1] = (uint8_t)kind;
                bytes[at + 2] = 0;
                bytes[at + 3] = sizes[random_next(&seed) % 5];
                at += 4 + (size_t)((bytes[at + 3] + 3) & ~3);
            }
            uint8_t *copy = exact_copy(bytes, size);
            CHECK_EQUAL(stun_request_parse_untrusted(copy, size, &request), -EINVAL);
            free(copy);
        }
}

static void test_user_fragments(void)
{
    char letters[STUN_UFRAG_HANDLE_LETTERS];
    for (uint32_t handle = 0; handle < STUN_UFRAG_HANDLES; handle++) {
        stun_ufrag_write(handle, letters);
        CHECK_EQUAL(stun_ufrag_handle(letters, sizeof letters), handle);
    }
    CHECK_EQUAL(stun_ufrag_handle("aab", 3), TABLE_NONE);
    CHECK_EQUAL(stun_ufrag_handle("aabl", 4), TABLE_NONE);
    CHECK_EQUAL(stun_ufrag_handle("aab\0", 4), TABLE_NONE);
    CHECK_EQUAL(stun_ufrag_handle("aaba:x", 6), 32);
    CHECK_EQUAL(stun_ufrag_handle("", 0), TABLE_NONE);
}

int main(void)
{
    test_rfc_5769();
    test_responses();
    test_broken_messages();
    test_user_fragments();
    printf("stun: ok\n");
    return 0;
}
