"""Pictures and sound: made, encoded, decoded, recorded (PyAV)."""
