/* Whatever comes to the port first: which kind it is, and Binding requests up to the answer. */
#include "demux.h"
#include "input.h"
#include "stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = exact_copy(data, size);
    struct stun_request request;
    int kind = demux_untrusted(bytes, size);
    CHECK(kind <= DEMUX_RTCP);
    if (stun_request_parse_untrusted(bytes, size, &request) == 0) {
        struct ice_credentials credentials = {
            .local_ufrag_length = 8, .local_pwd_length = 22, .remote_ufrag_length = 4};
        memcpy(credentials.local_ufrag, "evtj:h6vY", 8);
        memcpy(credentials.remote_ufrag, "peer", 4);
        memcpy(credentials.local_pwd, "VOkJxbRl1RmTxUk/WvJxBt", 22);
        if (request.username_length) stun_ufrag_handle(request.username, request.username_length);
        stun_request_authenticate(&request, &credentials);
        struct stun_address mapped = {.family = size & 1 ? 4 : 6, .port = 9};
        uint8_t answer[STUN_RESPONSE_MAX];
        int length = stun_response_build(&request, &credentials, &mapped, answer, sizeof answer);
        CHECK(length < 0 || (size_t)length <= size); /* never more than was asked with */
    }
    free(bytes);
    return 0;
}
