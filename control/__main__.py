"""`python -m control`: the command line, and what the supervisor starts in its own way."""

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments) in (["worker"], ["control"]):
        return _started_by_supervisor(arguments[0])
    from control.cli.main import main as command_line

    return command_line(arguments)


def _started_by_supervisor(role: str) -> int:
    """It is given its sockets and tables; what a worker does not need it does not import."""
    from control import logs, roles
    from control.handover import Handover, HandoverError

    logs.begin(role)
    try:
        handover = Handover.receive()
    except HandoverError as error:
        print(f"sotto: {error}", file=sys.stderr)
        return os.EX_USAGE
    return roles.worker(handover) if role == "worker" else roles.control(handover)


if __name__ == "__main__":
    sys.exit(main())
