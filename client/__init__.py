"""Sotto's Python client: a member of end-to-end encrypted conferences (docs/protocol.md).

    conference = await Conference.join(homeserver, user, password=password, room=room)
    async for event in conference.events():
        print(event)

It shares no code with the server nor with the browser client, and is held to the document alone.
"""

from client.conference import Conference
from client.errors import Trouble

__all__ = ["Conference", "Trouble"]
