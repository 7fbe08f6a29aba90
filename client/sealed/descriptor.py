"""The dependency descriptor of a stream without layers: by it the focus, to which payloads are sealed, finds
key frames (RTP Payload Format For AV1, appendix A)."""

KEY, DELTA = 0, 1


def write_descriptor(key: bool, first: bool, last: bool, frame: int) -> bytes:
    """Of one packet; `frame` counts frames. The structure goes with a key frame's first packet."""
    bits = f"{int(first)}{int(last)}{KEY if key else DELTA:06b}{frame & 0xFFFF:016b}"
    if key and first:
        # A structure, and nothing of its own; from template 0; one decode target; two templates of one layer.
        bits += "10000" + "000000" + "00000" + "00" + "11"
        # One can switch to either. A delta frame needs the frame before. No chains, no resolution.
        bits += "10" + "10" + "0" + "1" + "0000" + "0" + "0" + "0"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
