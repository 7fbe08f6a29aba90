"""Sealed RTP (docs/protocol.md section 8): each packet encrypted end to end by RFC 8723's inner transform."""
