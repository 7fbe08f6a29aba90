# Rows as control has them (control.protocol.rows) written as those of fastpath/table.h. Part of table.pyx.


cdef int put_bytes(void *target, size_t room, bytes value, str name) except -1:
    """Copies and returns the length."""
    cdef const char *source = value
    cdef size_t length = <size_t>len(value)
    if length > room:
        raise ValueError(f"{name} has {length} bytes, at most {room} fit")
    memcpy(target, source, length)
    return <int>length


cdef inline uint8_t put_text(char *target, size_t room, str value, str name) except? 255:
    return <uint8_t>put_bytes(target, room, value.encode("ascii"), name)


cdef inline uint32_t incarnation_of(object row) except 0:
    cdef uint32_t incarnation = row.incarnation
    if incarnation == 0:
        raise ValueError("incarnation 0 means no row")
    return incarnation


cdef int fill_transport(c.transport_row *target, object row) except -1:
    cdef c.ice_credentials *ice
    cdef int i
    target.incarnation = incarnation_of(row)
    target.conference = row.conference
    target.foreign = row.foreign
    if not (0 if row.foreign else 1) <= len(row.ice) <= 2:
        raise ValueError("a transport has one or two pairs of ICE credentials")
    for i, credentials in enumerate(row.ice):
        ice = &target.ice[i]
        ice.local_ufrag_length = put_text(
            ice.local_ufrag, sizeof(ice.local_ufrag), credentials.local_ufrag, "local_ufrag")
        ice.local_pwd_length = put_text(
            ice.local_pwd, sizeof(ice.local_pwd), credentials.local_pwd, "local_pwd")
        ice.remote_ufrag_length = put_text(
            ice.remote_ufrag, sizeof(ice.remote_ufrag), credentials.remote_ufrag, "remote_ufrag")
    if row.keys is not None:
        fill_keys(target, row.keys)
    target.rtcp_ssrc = row.rtcp_ssrc
    target.remb_bps = row.remb_bps
    target.transport_cc_down = bool(row.transport_cc_down)
    target.downlink_max_bps = row.downlink_max_bps
    target.follows = 0 if row.follows is None else row.follows + 1
    if len(row.sources) > c.LIMIT_SOURCES_PER_TRANSPORT:
        raise ValueError(f"a transport has at most {c.LIMIT_SOURCES_PER_TRANSPORT} sources")
    for i in range(c.LIMIT_SOURCES_PER_TRANSPORT):
        target.sources[i] = row.sources[i] if i < len(row.sources) else c.TABLE_NONE
    target.ext.mid = row.ext.mid
    target.ext.rid = row.ext.rid
    target.ext.repaired_rid = row.ext.repaired_rid
    target.ext.audio_level = row.ext.audio_level
    target.ext.abs_send_time = row.ext.abs_send_time
    target.ext.transport_cc = row.ext.transport_cc
    target.ext.dependency_descriptor = row.ext.dependency_descriptor
    return 0


cdef int fill_keys(c.transport_row *target, object keys) except -1:
    # Lengths by RFC 5764 4.1.2 and RFC 7714 12: a short key is an error here and not a weak cipher there.
    key_size, salt_size = {
        c.SRTP_AES128_CM_SHA1_80: (16, 14),
        c.SRTP_AEAD_AES_128_GCM: (16, 12),
        c.SRTP_AEAD_AES_256_GCM: (32, 12),
    }.get(int(keys.profile), (0, 0))
    if not key_size:
        raise ValueError("keys need a protection profile")
    for key in (keys.rx_key, keys.tx_key):
        if len(key) != key_size:
            raise ValueError(f"a master key has {len(key)} bytes, not {key_size}")
    for salt in (keys.rx_salt, keys.tx_salt):
        if len(salt) != salt_size:
            raise ValueError(f"a master salt has {len(salt)} bytes, not {salt_size}")
    target.srtp_profile = keys.profile
    put_bytes(target.rx_key.key, sizeof(target.rx_key.key), keys.rx_key, "rx_key")
    put_bytes(target.rx_key.salt, sizeof(target.rx_key.salt), keys.rx_salt, "rx_salt")
    put_bytes(target.tx_key.key, sizeof(target.tx_key.key), keys.tx_key, "tx_key")
    put_bytes(target.tx_key.salt, sizeof(target.tx_key.salt), keys.tx_salt, "tx_salt")
    return 0


cdef int fill_source(c.source_row *target, object row) except -1:
    cdef int i
    if max(len(row.rids), len(row.ssrcs), len(row.rtx_ssrcs)) > c.LIMIT_ENCODINGS:
        raise ValueError(f"a source has at most {c.LIMIT_ENCODINGS} encodings")
    target.incarnation = incarnation_of(row)
    target.transport = row.transport
    target.transport_incarnation = row.transport_incarnation
    target.member = row.member
    target.clock_rate = row.clock_rate
    target.kind = row.kind
    target.codec = row.codec
    target.payload_type = row.payload_type
    target.rtx_payload_type = row.rtx_payload_type
    target.muted = bool(row.muted)
    target.encoding_count = <uint8_t>max(1, len(row.rids))
    target.mid_length = put_text(target.mid, sizeof(target.mid), row.mid, "mid")
    for i, rid in enumerate(row.rids):
        target.rid_length[i] = put_text(target.rid[i], sizeof(target.rid[i]), rid, "rid")
    for i, ssrc in enumerate(row.ssrcs):
        target.ssrc[i] = ssrc
    for i, ssrc in enumerate(row.rtx_ssrcs):
        target.rtx_ssrc[i] = ssrc
    target.tmmbr = bool(row.tmmbr)
    target.resends = bool(row.resends)
    target.exports = row.exports
    target.home = row.home
    target.home_source = row.home_source
    target.home_incarnation = row.home_incarnation
    fill_limits(target, row)
    return 0


cdef int fill_limits(c.source_row *target, object limits) except -1:
    if len(limits.max_bps) > c.LIMIT_ENCODINGS or len(limits.floor_bps) > c.LIMIT_ENCODINGS:
        raise ValueError(f"a source has limits of at most {c.LIMIT_ENCODINGS} encodings")
    for i, bps in enumerate(limits.max_bps):
        target.limits.max_bps[i] = bps
    for i, bps in enumerate(limits.floor_bps):
        target.limits.floor_bps[i] = bps
    target.limits.encoding_count = target.encoding_count
    target.limits.kind = target.kind
    target.limits.share_percent = limits.share_percent
    return 0


cdef int fill_sink(c.sink_row *target, object row) except -1:
    target.incarnation = incarnation_of(row)
    target.transport = row.transport
    target.transport_incarnation = row.transport_incarnation
    target.source = row.source
    target.source_incarnation = row.source_incarnation
    target.ssrc = row.ssrc
    target.rtx_ssrc = row.rtx_ssrc
    target.clock_rate = row.clock_rate
    target.payload_type = row.payload_type
    target.rtx_payload_type = row.rtx_payload_type
    target.kind = row.kind
    target.max_encoding = row.max_encoding
    target.priority = row.priority
    target.focus = bool(row.focus)
    target.hidden = bool(row.hidden)
    target.loudest = bool(row.loudest)
    target.sealed = bool(row.sealed)
    target.resend = bool(row.resend)
    return 0
