"""Messages between workers and control: what is written is read, anything else is one kind of error."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath_ext import uplink
from fastpath_ext.values import UplinkMessage

_numbers = st.integers(0, 0xFFFFFFFF)


@given(
    _numbers, _numbers, _numbers, _numbers, _numbers, st.integers(0, (1 << 64) - 1), st.binary(max_size=2048)
)
def test_comes_back(kind, transport, incarnation, a, b, time_ns, payload):
    message = uplink.encode(kind, transport, incarnation, payload, a=a, b=b, time_ns=time_ns)
    assert uplink.decode(message) == UplinkMessage(kind, transport, incarnation, a, b, time_ns, payload)


@given(st.binary(max_size=80))
def test_garbage_is_a_message_or_an_uplink_error(data):
    try:
        message = uplink.decode(data)
    except uplink.UplinkError:
        return
    assert len(data) == 32 + len(message.payload)


def test_every_wrong_length_is_refused():
    message = uplink.encode(uplink.Kind.DTLS, 1, 2, b"payload")
    for length in range(len(message)):
        with pytest.raises(uplink.UplinkError):
            uplink.decode(message[:length])
    with pytest.raises(uplink.UplinkError):
        uplink.decode(message + b"x")
    with pytest.raises(uplink.UplinkError):
        uplink.decode(struct.pack("<8I", 1, 0, 0, 3000, 0, 0, 0, 0) + bytes(3000))
