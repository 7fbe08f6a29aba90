"""The core's packet handling as Python functions, for tests and tools; media never comes this way."""

cimport cython

from libc.errno cimport ESTALE, EXDEV
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from fastpath_ext.packet_values import Projected, Report, RtpHeader, Vp8Descriptor

RTP_HEADER_MAX = C_RTP_HEADER_MAX
PROJECTION_MAX_GAP = C_PROJECTION_MAX_GAP

_KINDS = {DEMUX_STUN: "stun", DEMUX_DTLS: "dtls", DEMUX_RTP: "rtp", DEMUX_RTCP: "rtcp"}
_CODECS = {"opus": CODEC_OPUS, "vp8": CODEC_VP8, "vp9": CODEC_VP9, "h264": CODEC_H264, "av1": CODEC_AV1}


class PacketError(ValueError):
    """The bytes are malformed, or do not fit."""


class ProjectionRefused(Exception):
    """The packet has no place in the outgoing stream: `reason` is "other", "late" or "exhausted"."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


cdef int _check(int result) except -1:
    if result < 0:
        raise PacketError("malformed" if result == -74 else "no room" if result == -28 else "unknown kind")
    return result


def demux(const uint8_t[::1] datagram not None):
    """"stun", "dtls", "rtp" or "rtcp" (RFC 7983, RFC 5761)."""
    return _KINDS[_check(demux_untrusted(&datagram[0] if len(datagram) else NULL, len(datagram)))]


def sequence_newer(uint16_t a, uint16_t b):
    """Is the 16-bit sequence number `a` after `b`?"""
    return c_sequence_newer(a, b)


def timestamp_newer(uint32_t a, uint32_t b):
    """Is the 32-bit timestamp `a` after `b`?"""
    return c_timestamp_newer(a, b)


# --- RTP ---


cdef const uint8_t *_parse(const uint8_t[::1] packet, c_rtp_header *header) except NULL:
    if len(packet) == 0:
        raise PacketError("malformed")
    _check(rtp_parse_untrusted(&packet[0], len(packet), header))
    return &packet[0]


def rtp_parse(const uint8_t[::1] packet not None):
    """The header of an RTP packet, encrypted or not."""
    cdef c_rtp_header header
    cdef const uint8_t *at = _parse(packet, &header)
    csrcs = tuple(int.from_bytes(at[12 + 4 * i:16 + 4 * i], "big") for i in range(header.csrc_count))
    return RtpHeader(
        header.payload_type, bool(header.marker), header.sequence, header.timestamp, header.ssrc, csrcs,
        bool(header.padding), header.extension_profile, header.payload_offset)


def rtp_padding(const uint8_t[::1] packet not None):
    """Bytes of padding at the end of a decrypted packet, its count included."""
    cdef c_rtp_header header
    cdef const uint8_t *at = _parse(packet, &header)
    return _check(rtp_padding_untrusted(at, len(packet), &header))


def rtp_extension(const uint8_t[::1] packet not None, uint8_t id):
    """The data of the header extension `id`, or None."""
    cdef c_rtp_header header
    cdef rtp_field field
    cdef const uint8_t *at = _parse(packet, &header)
    if not _check(rtp_extension_find(at, &header, id, &field)):
        return None
    return at[field.offset:field.offset + field.length]


def rtp_extensions(
    const uint8_t[::1] packet not None, *, uint8_t mid=0, uint8_t rid=0, uint8_t repaired_rid=0,
    uint8_t audio_level=0, uint8_t abs_send_time=0, uint8_t transport_cc=0, uint8_t dependency_descriptor=0,
):
    """What was found of the extensions whose ids are given: name -> data."""
    cdef c_rtp_header header
    cdef c_rtp_extensions found
    cdef extension_ids ids
    cdef const uint8_t *at = _parse(packet, &header)
    memset(&ids, 0, sizeof(ids))
    ids.mid = mid
    ids.rid = rid
    ids.repaired_rid = repaired_rid
    ids.audio_level = audio_level
    ids.abs_send_time = abs_send_time
    ids.transport_cc = transport_cc
    ids.dependency_descriptor = dependency_descriptor
    _check(rtp_extensions_read_untrusted(at, &header, &ids, &found))
    places = {
        "mid": (found.mid.offset, found.mid.length),
        "rid": (found.rid.offset, found.rid.length),
        "repaired_rid": (found.repaired_rid.offset, found.repaired_rid.length),
        "audio_level": (found.audio_level.offset, found.audio_level.length),
        "abs_send_time": (found.abs_send_time.offset, found.abs_send_time.length),
        "transport_cc": (found.transport_cc.offset, found.transport_cc.length),
        "dependency_descriptor": (found.dependency_descriptor.offset, found.dependency_descriptor.length),
    }
    data = bytes(packet)
    return {name: data[start:start + size] for name, (start, size) in places.items() if start}


def rtp_text(const uint8_t[::1] packet not None, uint8_t id, size_t room=16):
    """The text of a mid or rid extension of at most `room` characters."""
    cdef c_rtp_header header
    cdef rtp_field field
    cdef char text[255]
    cdef const uint8_t *at = _parse(packet, &header)
    _check(rtp_extension_find(at, &header, id, &field))
    cdef int length = _check(rtp_text_untrusted(at, field, text, min(room, sizeof(text))))
    return text[:length].decode("ascii")


def rtp_header(
    *, uint8_t payload_type, uint16_t sequence, uint32_t timestamp, uint32_t ssrc, bint marker=False,
    uint32_t csrc=0, uint8_t audio_level_id=0, uint8_t audio_level=0, uint8_t abs_send_time_id=0,
    uint32_t abs_send_time=0, uint8_t transport_cc_id=0, uint16_t transport_cc=0, uint8_t mid_id=0,
    bytes mid=b"",
):
    """The header a receiver gets; ids of 0 leave their extension out, as does csrc 0."""
    cdef uint8_t to[C_RTP_HEADER_MAX]
    cdef rtp_outgoing outgoing
    if len(mid) > LIMIT_MID:
        raise PacketError("no room")
    memset(&outgoing, 0, sizeof(outgoing))
    outgoing.payload_type = payload_type
    outgoing.marker = marker
    outgoing.sequence = sequence
    outgoing.timestamp = timestamp
    outgoing.ssrc = ssrc
    outgoing.csrc = csrc
    outgoing.audio_level_id = audio_level_id
    outgoing.audio_level = audio_level
    outgoing.abs_send_time_id = abs_send_time_id
    outgoing.abs_send_time = abs_send_time
    outgoing.transport_cc_id = transport_cc_id
    outgoing.transport_cc = transport_cc
    outgoing.mid_id = mid_id
    outgoing.mid_length = <uint8_t> len(mid)
    outgoing.mid = mid
    cdef size_t length = rtp_header_write(to, &outgoing)
    return to[:length]


# --- payloads ---


def vp8_parse(const uint8_t[::1] payload not None):
    """The payload descriptor of RFC 7741."""
    cdef vp8_descriptor found
    _check(vp8_parse_untrusted(&payload[0] if len(payload) else NULL, len(payload), &found))
    return Vp8Descriptor(
        found.length, found.picture_id if found.picture_id_bits else None, found.picture_id_bits,
        found.tl0 if found.tl0_offset else None, found.temporal_id if found.has_temporal_id else None,
        bool(found.layer_sync), bool(found.non_reference), bool(found.frame_start), bool(found.key_frame))


def vp8_rewrite(bytes payload not None, uint16_t picture_id, uint8_t tl0):
    """The payload with other numbers, where it has them."""
    cdef vp8_descriptor found
    changed = bytearray(payload)
    cdef uint8_t[::1] view = changed
    _check(vp8_parse_untrusted(&view[0] if len(payload) else NULL, len(payload), &found))
    c_vp8_rewrite(&view[0], &found, picture_id, tl0)
    return bytes(changed)


def payload_key_start(str name not None, const uint8_t[::1] payload not None):
    """Does this packet of the codec begin a key frame?"""
    cdef int kind = _CODECS[name]
    return bool(_check(payload_key_start_untrusted(
        <codec> kind, &payload[0] if len(payload) else NULL, len(payload))))


include "packet_rtcp.pxi"
include "packet_projection.pxi"
