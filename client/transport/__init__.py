"""ICE, DTLS-SRTP and the data channel to the focus."""
