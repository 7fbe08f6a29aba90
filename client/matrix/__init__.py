"""The homeserver's side of a conference, over matrix-nio."""
