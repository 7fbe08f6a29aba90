"""The command: `python -m client join ROOM`.

Exit codes: 0 left or the recording is complete; 2 wrong arguments; 3 the homeserver (unreachable, login,
room); 4 no conference, or no ticket for it; 5 the conference server refused; 6 no way for media; 7 the
conference server ended the membership; 8 a file cannot be read or written.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TextIO

from client.conference import Conference
from client.errors import EXIT_ENDED, EXIT_FILE, EXIT_OK, EXIT_USAGE, Trouble
from client.happenings import (
    Complaint,
    Ended,
    HandChanged,
    Happening,
    LayerChanged,
    MemberChanged,
    MemberJoined,
    MemberLeft,
    Reacted,
    Speaking,
    TileChanged,
    Wanted,
)
from client.media.sources import File, Pattern, Source
from client.protocol import names

STATISTICS_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `join`, for a command line of its own or as a part of a larger one."""
    parser.add_argument("room", help="id (!...) or alias (#...) of the conference room")
    parser.add_argument("--homeserver", required=True, metavar="URL")
    parser.add_argument("--user", required=True, help="Matrix id, or its name on that homeserver")
    parser.add_argument("--password-file", metavar="FILE", help="default: $SOTTO_PASSWORD")
    parser.add_argument(
        "--token-file", metavar="FILE", help="an access token, of a device that never encrypted"
    )
    parser.add_argument(
        "--send",
        default="none",
        metavar="WHAT",
        help="pattern (a test picture and a tone), none, or a file that FFmpeg reads",
    )
    parser.add_argument("--once", action="store_true", help="send the file once, then leave")
    parser.add_argument(
        "--record",
        metavar="FILE.mkv",
        help="one file per member, number and name put before the ending (.mkv, .webm)",
    )
    parser.add_argument("--stats", action="store_true", help=f"figures every {STATISTICS_S:.0f} s")
    parser.add_argument("--report", metavar="FILE", help="the figures at the end, as JSON")
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="leave after so long")
    parser.add_argument("--start", action="store_true", help="begin a conference when none runs")
    parser.add_argument("--another", action="store_true", help="begin one beside those that run")
    parser.add_argument("--conference", metavar="ID", help="one of several that run; default: the newest")
    parser.add_argument("--voice", action="store_true", help="what is begun is for sound alone")
    parser.add_argument("--members", type=int, metavar="N", help="what is begun is for so many devices")
    parser.add_argument("--focus", metavar="ID", help="the conference server's Matrix id, to begin on it")
    parser.add_argument(
        "--service", metavar="URL", help="the conference server's web address: its defaults, and resuming"
    )
    parser.add_argument(
        "--to-device", action="store_true", default=None, help="give keys from device to device"
    )
    parser.add_argument("--feedback", action="store_true", help="tell when each packet came (slow networks)")
    parser.add_argument(
        "--sealed", action="store_true", help="sealed RTP among those who can, frames for others"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m client", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    join = commands.add_parser(
        "join",
        prog=os.environ.get("SOTTO_CALLED_AS"),
        help="take part in a conference",
        epilog=__doc__.partition("\n")[2],
    )
    add_arguments(join)
    return run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """What `join` does, with arguments as `add_arguments` defines them; returns the exit code."""
    terminal = Terminal(sys.stderr, options.quiet)
    try:
        password, token = _secrets(options)
        source = _source(options)
        return asyncio.run(_take_part(options, password, token, source, terminal))
    except Trouble as trouble:
        terminal.error(str(trouble))
        return trouble.exit_code
    except OSError as error:
        terminal.error(f"{error.filename}: {error.strerror}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_OK


class Terminal:
    def __init__(self, out: TextIO, quiet: bool) -> None:
        self._out, self._quiet = out, quiet
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        if not self._quiet:
            print(f"{time.monotonic() - self._begun:7.2f}  {text}", file=self._out, flush=True)

    def error(self, text: str) -> None:
        print(f"error: {text}", file=self._out, flush=True)


def _secrets(options: argparse.Namespace) -> tuple[str | None, str | None]:
    def read(path: str | None) -> str | None:
        if path is None:
            return None
        with open(path) as file:
            return file.read().strip()

    token = read(options.token_file)
    password = read(options.password_file) or os.environ.get("SOTTO_PASSWORD")
    if token is None and not password:
        raise Trouble("login_refused", "Give --password-file, --token-file or $SOTTO_PASSWORD.")
    return password, token


def _source(options: argparse.Namespace) -> Source | None:
    if options.send == "none":
        return None
    return Pattern() if options.send == "pattern" else File(options.send, loop=not options.once)


async def _take_part(
    options: argparse.Namespace,
    password: str | None,
    token: str | None,
    source: Source | None,
    terminal: Terminal,
) -> int:
    conference = await Conference.join(
        options.homeserver,
        options.user,
        room=options.room,
        password=password,
        token=token,
        send=source,
        focus=options.focus,
        start=options.start,
        to_device=options.to_device,
        service=options.service,
        feedback=options.feedback,
        conference=options.conference,
        another=options.another,
        voice=options.voice,
        members=options.members,
        sealed=options.sealed,
        say=terminal.say,
    )
    try:
        if options.record:
            conference.record(options.record)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        tasks = [
            asyncio.create_task(_follow(conference, terminal)),
            asyncio.create_task(stop.wait()),
            asyncio.create_task(_until_done(conference, options.seconds, options.once)),
        ]
        if options.stats:
            tasks.append(asyncio.create_task(_statistics(conference, terminal)))
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        ended = tasks[0].result() if tasks[0] in done else None
    finally:
        if options.report:
            _write_report(conference, options.report)
        terminal.say("leaving")
        await conference.leave()
    if options.stats:
        _print_statistics(conference, terminal)
    if isinstance(ended, Ended):
        terminal.error(f"{ended.message} ({ended.code})")
        return EXIT_ENDED
    if conference.recording_failed:
        terminal.error(f"the recording is incomplete: {conference.recording_failed}")
        return EXIT_FILE
    return EXIT_OK


async def _follow(conference: Conference, terminal: Terminal) -> Ended | None:
    async for happening in conference.events():
        if isinstance(happening, Ended):
            return happening
        if (text := describe(happening, conference)) is not None:
            terminal.say(text)
    return None


def describe(happening: Happening, conference: Conference) -> str | None:
    """A line for a person; None for what is of no interest on a terminal."""

    def name(number: int) -> str:
        member = conference.members.get(number)
        return member.user_id if member is not None else f"member {number}"

    match happening:
        case MemberJoined(number, user_id, _):
            return f"{user_id} is here as member {number}"
        case MemberLeft(number, user_id):
            return f"{user_id} (member {number}) has left"
        case MemberChanged(number, audio, video, _):
            return f"{name(number)}: microphone {'off' if audio else 'on'}, camera {'off' if video else 'on'}"
        case TileChanged(number, source, state):
            return f"{source} of {name(number)}: {state}"
        case Speaking(_, dominant) if dominant is not None:
            return f"{name(dominant)} speaks"
        case HandChanged(number, raised):
            return f"{name(number)} {'raises' if raised else 'lowers'} a hand"
        case Reacted(number, emoji):
            return f"{name(number)}: {emoji}"
        case Wanted(source, encodings):
            return f"sending {source}: {', '.join(encodings) or 'nothing'}"
        case LayerChanged(number, source, encoding, temporal):
            which = "none" if encoding is None else f"{encoding}, temporal layer {temporal}"
            return f"{source} of {name(number)}: the network carries {which}"
        case Complaint(code, message):
            return f"the server: {message} ({code})"
    return None


async def _until_done(conference: Conference, seconds: float | None, once: bool) -> None:
    deadline = None if seconds is None else time.monotonic() + seconds
    while not (once and conference.source_finished):
        if deadline is not None and time.monotonic() >= deadline:
            return
        await asyncio.sleep(0.1)


async def _statistics(conference: Conference, terminal: Terminal) -> None:
    while True:
        await asyncio.sleep(STATISTICS_S)
        _print_statistics(conference, terminal)


def _write_report(conference: Conference, path: str) -> None:
    figures = conference.statistics
    report = {
        "member": conference.number,
        "tiles": [
            {
                "member": tile.member,
                "source": names.SOURCES[tile.source],
                "form": tile.form,
                "state": None if tile.state is None else tile.state.value,
                "opened": tile.opened,
                "rate": round(tile.rate, 1),
                "size": tile.size,
                "refused": {verdict.value: count for verdict, count in tile.refused.items()},
            }
            for tile in figures.tiles.values()
        ],
        "sent": [asdict(sent) for sent in figures.sent],
        "counts": figures.counts,
    }
    with open(path, "w") as file:
        json.dump(report, file, indent=1)


def _print_statistics(conference: Conference, terminal: Terminal) -> None:
    figures = conference.statistics
    for tile in sorted(figures.tiles.values(), key=lambda each: (each.member, each.source)):
        size = "" if tile.size is None else f" {tile.size[0]}x{tile.size[1]}"
        refused = "".join(f", {count} {verdict.value}" for verdict, count in tile.refused.items())
        terminal.say(
            f"  from {tile.member} {names.SOURCES[tile.source]}{size} ({tile.form}): {tile.opened} frames, "
            f"{tile.rate:.1f}/s, {tile.bytes} bytes{refused}"
        )
    for sent in figures.sent:
        terminal.say(
            f"  sent {sent.source} {sent.rid}: {sent.packets} packets, {sent.octets} bytes, "
            f"{sent.repeated} again, {sent.lost:.1%} lost"
        )
    if figures.counts:
        terminal.say("  " + ", ".join(f"{name} {count}" for name, count in sorted(figures.counts.items())))
