"""Joins an encrypted conference, plays a file, says who speaks: `python examples/bot.py ROOM FILE`."""

import asyncio
import os
import sys

from client import Conference
from client.happenings import Speaking
from client.media.sources import File


async def main(room: str, file: str) -> None:
    account = os.environ["SOTTO_HOMESERVER"], os.environ["SOTTO_USER"]
    conference = await Conference.join(
        *account, password=os.environ["SOTTO_PASSWORD"], room=room, send=File(file)
    )
    async for event in conference.events():
        if isinstance(event, Speaking) and event.dominant in conference.members:
            print(conference.members[event.dominant].user_id, "speaks")


asyncio.run(main(*sys.argv[1:]))
