"""Sealed RTP (docs/protocol.md section 11): packets encrypted by the inner transform of RFC 8723."""
