"""`python -m control.demo`: a conference on this machine until Ctrl-C."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from pathlib import Path

from control.demo.process import StartFailed
from control.demo.run import Demo

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody pressed Ctrl-C, or a signal said the same."""


def main() -> int:
    arguments = parse_arguments()
    for number in STOP_SIGNALS:
        signal.signal(number, _raise_stopped)
    try:
        if arguments.check:
            check = importlib.import_module("control.demo.check")
            return int(check.main(arguments))
        with Demo(
            arguments.folder or Path("build/demo"),
            address=arguments.address,
            media_address=arguments.media_address,
            key_transport=arguments.key_transport,
            say=say,
        ) as demo:
            try:
                show(demo)
                ended = wait(demo)
            finally:
                for number in STOP_SIGNALS:  # what stops now has deadlines of its own
                    signal.signal(number, signal.SIG_IGN)
    except StartFailed as error:
        say(f"!!! {error}")
        return 1
    except Stopped:
        say("Everything has stopped.")
        return 1 if arguments.check else 0
    say(f"!!! {ended}")
    return 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=os.environ.get("SOTTO_CALLED_AS", "python -m control.demo"), description=__doc__
    )
    parser.add_argument("--check", action="store_true", help="let headless browsers hold the conference")
    parser.add_argument("--folder", type=Path, help="accounts, rooms and logs; default build/demo[-check]")
    parser.add_argument("--address", default="127.0.0.1", help="of the homeserver and the web page")
    parser.add_argument("--media-address", help="of the media ports (this machine's own)")
    parser.add_argument("--key-transport", choices=("timeline", "to-device"), default="timeline")
    return parser.parse_args()


def show(demo: Demo) -> None:
    say("")
    say("Open two or three of these, each in a window of its own (another profile or browser is best):")
    say("")
    for name, url in demo.urls.items():
        say(f"    {name.capitalize():8}{url}")
    say("")
    say(f"Logs and accounts are in {demo.folder}. Ctrl-C stops everything this started.")


def wait(demo: Demo) -> str:
    """Until something ends by itself; returns what. A stop signal raises Stopped out of here."""
    pause = threading.Event()
    while (ended := demo.what_ended()) is None:
        pause.wait(0.5)
    return ended


def say(text: str) -> None:
    print(text, flush=True)


def _raise_stopped(number: int, frame: object) -> None:
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
