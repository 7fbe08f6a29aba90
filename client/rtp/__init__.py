"""RTP and RTCP as this client uses them: pure."""
