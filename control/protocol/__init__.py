"""What control decides: pure machines. No sockets, no clock; time is an argument."""
