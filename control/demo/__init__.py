"""A conference on one machine: a homeserver, a bot, three people and Sotto."""
