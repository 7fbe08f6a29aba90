"""SRTP and STUN of the core, one packet a call: for control's user fragments, tests and synthetic clients.

The worker does not go through here.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from fastpath_ext cimport c

import errno
import ipaddress
import os

from fastpath_ext.values import StunRequest

cdef extern from "stdlib.h" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef extern from "fastpath/crypto.h" nogil:
    enum crypto_choice:
        CRYPTO_AUTO
        CRYPTO_OPENSSL
        CRYPTO_IPSEC_MB
    int crypto_init(crypto_choice choice)
    const char *crypto_backend_name()

cdef extern from "fastpath/table.h" nogil:
    enum:
        LIMIT_RX_SSRCS
        LIMIT_LOCAL_UFRAG
        LIMIT_LOCAL_PWD
        LIMIT_REMOTE_UFRAG
    enum srtp_profile:
        pass
    struct srtp_rx_state:
        uint64_t highest
    struct srtcp_rx_state:
        pass

cdef extern from "fastpath/srtp.h" nogil:
    enum:
        SRTCP_OVERHEAD_MAX
        SRTP_OVERHEAD_MAX
    struct srtp_keys:
        pass
    int srtp_keys_expand(srtp_keys *keys, srtp_profile profile, const c.srtp_key *master)
    void srtp_keys_wipe(srtp_keys *keys)
    srtp_rx_state *srtp_rx_find(srtp_rx_state *rx, uint32_t ssrc)
    int srtp_unprotect_untrusted(const srtp_keys *keys, srtp_rx_state *rx, uint8_t *packet, size_t *length,
                                 size_t header_length, uint64_t *index)
    int srtp_protect(const srtp_keys *keys, uint64_t index, uint8_t *out, size_t capacity,
                     size_t header_length, const uint8_t *payload, size_t payload_length)
    int srtcp_protect(const srtp_keys *keys, uint32_t *tx_index, uint8_t *packet, size_t length,
                      size_t capacity)
    int srtcp_unprotect_untrusted(const srtp_keys *keys, srtcp_rx_state *rx, uint8_t *packet, size_t *length)

cdef extern from "fastpath/stun.h" nogil:
    enum:
        STUN_RESPONSE_MAX
        STUN_UFRAG_HANDLES
        STUN_UFRAG_HANDLE_LETTERS
    struct stun_address:
        uint8_t family
        uint16_t port
        uint8_t bytes[16]
    struct stun_request:
        const uint8_t *username
        uint64_t tie_breaker
        uint32_t priority
        uint16_t username_length
        bint use_candidate, controlling, controlled
    int stun_request_parse_untrusted(const uint8_t *bytes, size_t length, stun_request *request)
    int stun_request_authenticate(const stun_request *request, const c.ice_credentials *credentials)
    int stun_response_build(const stun_request *request, const c.ice_credentials *credentials,
                            const stun_address *mapped, uint8_t *out, size_t capacity)
    uint32_t stun_ufrag_handle(const void *ufrag, size_t length)
    void stun_ufrag_write(uint32_t handle, char *letters)


class CryptoError(ValueError):
    """A packet was refused; `errno` says why, as in srtp.h and stun.h."""

    def __init__(self, number):
        super().__init__(errno.errorcode.get(number, str(number)), os.strerror(number))
        self.errno = number


cdef object refused(int negative):
    return CryptoError(-negative)


def crypto_choose(name="auto"):
    cdef crypto_choice choice
    if name == "auto":
        choice = CRYPTO_AUTO
    elif name == "openssl":
        choice = CRYPTO_OPENSSL
    elif name == "ipsec-mb":
        choice = CRYPTO_IPSEC_MB
    else:
        raise CryptoError(errno.ENOTSUP)
    cdef int failed = crypto_init(choice)
    if failed:
        raise refused(failed)
    return crypto_backend_name().decode()


cdef class SrtpContext:
    cdef srtp_keys *keys
    cdef srtp_rx_state rx[LIMIT_RX_SSRCS]
    cdef srtcp_rx_state rtcp_rx[LIMIT_RX_SSRCS]
    cdef uint32_t rtcp_index

    def __cinit__(self, int profile, bytes key, bytes salt):
        cdef c.srtp_key master
        memset(&master, 0, sizeof(master))
        memset(self.rx, 0, sizeof(self.rx))
        memset(self.rtcp_rx, 0, sizeof(self.rtcp_rx))
        self.rtcp_index = 0
        if len(key) > 32 or len(salt) > 14:
            raise refused(-errno.EINVAL)
        memcpy(master.key, <const uint8_t *>key, len(key))
        memcpy(master.salt, <const uint8_t *>salt, len(salt))
        self.keys = <srtp_keys *>aligned_alloc(64, sizeof(srtp_keys))
        if self.keys == NULL:
            raise MemoryError
        cdef int failed = srtp_keys_expand(self.keys, <srtp_profile>profile, &master)
        if failed:
            raise refused(failed)

    def __dealloc__(self):
        if self.keys != NULL:
            srtp_keys_wipe(self.keys)
            free(self.keys)

    def protect(self, bytes packet, index, header_length=12):
        cdef size_t header = header_length, length = len(packet)
        if header > length:
            raise refused(-errno.EINVAL)
        out = bytearray(length + SRTP_OVERHEAD_MAX)
        out[:header] = packet[:header]
        cdef const uint8_t *payload = <const uint8_t *>packet + header
        cdef int size = srtp_protect(self.keys, index, out, len(out), header, payload, length - header)
        if size < 0:
            raise refused(size)
        return bytes(out[:size])

    def unprotect(self, bytes packet, header_length=12):
        cdef size_t length = len(packet)
        cdef uint64_t index = 0
        copy = bytearray(packet)
        cdef int failed = srtp_unprotect_untrusted(self.keys, self.rx, copy, &length, header_length, &index)
        if failed:
            raise refused(failed)
        return bytes(copy[:length]), index

    def protect_rtcp(self, bytes packet):
        out = bytearray(packet) + bytearray(SRTCP_OVERHEAD_MAX)
        cdef int size = srtcp_protect(self.keys, &self.rtcp_index, out, len(packet), len(out))
        if size < 0:
            raise refused(size)
        return bytes(out[:size])

    def unprotect_rtcp(self, bytes packet):
        cdef size_t length = len(packet)
        copy = bytearray(packet)
        cdef int failed = srtcp_unprotect_untrusted(self.keys, self.rtcp_rx, copy, &length)
        if failed:
            raise refused(failed)
        return bytes(copy[:length])

    def highest(self, ssrc):
        cdef srtp_rx_state *entry = srtp_rx_find(self.rx, ssrc)
        return None if entry == NULL or ssrc == 0 else entry.highest


cdef int credentials_of(c.ice_credentials *made, local_ufrag, local_pwd, remote_ufrag) except -1:
    cdef bytes ours = local_ufrag.encode(), secret = local_pwd.encode(), theirs = remote_ufrag.encode()
    memset(made, 0, sizeof(made[0]))
    if len(ours) > LIMIT_LOCAL_UFRAG or len(secret) > LIMIT_LOCAL_PWD or len(theirs) > LIMIT_REMOTE_UFRAG:
        raise refused(-errno.EINVAL)
    made.local_ufrag_length = len(ours)
    made.local_pwd_length = len(secret)
    made.remote_ufrag_length = len(theirs)
    memcpy(made.local_ufrag, <const char *>ours, len(ours))
    memcpy(made.local_pwd, <const char *>secret, len(secret))
    memcpy(made.remote_ufrag, <const char *>theirs, len(theirs))
    return 0


def stun_parse(bytes message):
    cdef stun_request request
    cdef int failed = stun_request_parse_untrusted(message, len(message), &request)
    if failed:
        raise refused(failed)
    return StunRequest(
        bytes(request.username[:request.username_length]),
        request.priority,
        request.use_candidate,
        request.tie_breaker if request.controlling else None,
        request.tie_breaker if request.controlled else None,
    )


def stun_respond(bytes message, local_ufrag, local_pwd, remote_ufrag, address, port):
    cdef c.ice_credentials credentials
    cdef stun_request request
    cdef stun_address mapped
    cdef uint8_t out[STUN_RESPONSE_MAX]
    credentials_of(&credentials, local_ufrag, local_pwd, remote_ufrag)
    parsed = ipaddress.ip_address(address)
    cdef bytes packed = parsed.packed
    memset(&mapped, 0, sizeof(mapped))
    mapped.family = parsed.version
    mapped.port = port
    memcpy(mapped.bytes, <const uint8_t *>packed, len(packed))
    cdef int result = stun_request_parse_untrusted(message, len(message), &request)
    if result == 0:
        result = stun_request_authenticate(&request, &credentials)
    if result == 0:
        result = stun_response_build(&request, &credentials, &mapped, out, sizeof(out))
    if result < 0:
        raise refused(result)
    return bytes(out[:result])


def make_ufrag(handle, random_tail):
    cdef char letters[STUN_UFRAG_HANDLE_LETTERS]
    room = LIMIT_LOCAL_UFRAG - STUN_UFRAG_HANDLE_LETTERS
    if not 0 <= handle < STUN_UFRAG_HANDLES or len(random_tail) > room:
        raise refused(-errno.EINVAL)
    stun_ufrag_write(handle, letters)
    return letters[:STUN_UFRAG_HANDLE_LETTERS].decode() + random_tail


def ufrag_handle(ufrag):
    cdef bytes letters = ufrag.encode()
    cdef uint32_t handle = stun_ufrag_handle(<const char *>letters, len(letters))
    return None if handle == c.TABLE_NONE else handle
