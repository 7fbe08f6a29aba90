"""Processes of test_supervisor.py: `serve` runs a real supervisor, `control` stands in for control."""

import json
import logging
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
FORM = "FORM_OF_THIS_BUILD"


def serve(options: dict) -> int:
    # As from a terminal: what started the tests may have been told to ignore Ctrl-C, and that is inherited.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from control import control_child, layout, moving
    from control import supervisor as role
    from control.config import Config, HomeserverConfig, MediaConfig, ServerConfig
    from control.supervisor import Supervisor

    role.CONTROL_STOP_S = options["control_stop_s"]
    control_child.STANDBY_AFTER_S = options["standby_after_s"]
    config = Config(
        homeserver=HomeserverConfig("http://127.0.0.1:1", "@sotto:example.org", Path("/nowhere")),
        server=ServerConfig(workers=options["workers"], data_dir=Path(options["data_dir"])),
        media=MediaConfig(listen=tuple(options["listen"]), port=0),
    )
    logging.basicConfig(level="INFO", format="%(message)s")
    layout.FORM = int(os.environ.get(FORM, options["form"]))
    moving.LINGER_S = 0.2
    worker = [PYTHON, "-m", "control", "worker"]
    control = [PYTHON, __file__, "control", options.get("control", "")]
    left = os.environ.pop("SOTTO_LEFT", None)

    def become(what_is_left: str) -> None:
        again = {**os.environ, "SOTTO_LEFT": what_is_left, FORM: str(options["next_form"])}
        os.execve(PYTHON, [PYTHON, *sys.argv], again)

    supervisor = Supervisor(
        config,
        worker,
        control,
        left=json.loads(left) if left else None,
        become=become,
        orphan_s=options["orphan_s"],
    )
    print("ports " + json.dumps(supervisor.media_ports), flush=True)
    return supervisor.run()


def control(behaviour: str) -> int:
    if behaviour == "hopeless":
        return 78
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, lambda *_: print("control was told to end", flush=True))
        print("control ready", flush=True)
        while True:
            signal.pause()
    import asyncio

    asyncio.run(_control())
    return 0


async def _control() -> None:
    """Attaches, puts a row if there is none, tells what the workers say, ends on SIGTERM."""
    import asyncio

    from control.handover import Handover
    from control.io.workers import WorkerLink
    from control.keeper import Orphanhood
    from control.roles import end_as_orphan, only_one, stands_by
    from control.run_dir import control_lock
    from fastpath_ext.uplink import Kind
    from tests.fastpath.tables import transport_row

    handover = Handover.receive()
    if handover.predecessor_fd >= 0 and not stands_by(handover):
        return
    lock = await only_one(control_lock(Path(handover.run_dir)))
    links = [
        WorkerLink(w, lambda i, m: print(f"said {i} {Kind(m.kind).name} {m.a}", flush=True))
        for w in handover.workers
    ]
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    orphan = asyncio.create_task(end_as_orphan(Orphanhood(handover), stopped.set))
    print(f"control begins, notes of {len(handover.former_fds)} former workers", flush=True)
    for link in links:
        link.start()
        found = link.table.transport_handles
        if not found:
            link.table.put_transport(3, transport_row(incarnation=5))
            link.writer.worker_moved()
            link.writer._soon()
        print(f"control ready, worker {link.index} has {found}, generation {link.table.current}", flush=True)
    await stopped.wait()
    for link in links:
        link.close()
    orphan.cancel()
    lock.close()
    print("control says goodbye", flush=True)


class Server:
    """A running supervisor, its output line by line."""

    def __init__(
        self,
        data_dir: Path,
        *,
        workers: int = 2,
        listen: tuple[str, ...] = ("127.0.0.1",),
        control: str = "",
        orphan_s: float = 10 * PATIENCE_S,
        control_stop_s: float = 10 * PATIENCE_S,
        standby_after_s: float = 10 * PATIENCE_S,
        form: int = 1,
        next_form: int = 1,
    ) -> None:
        """`orphan_s`, `control_stop_s`, `standby_after_s`: as if for ever, where a test is not of them.

        `form` of its layout, and that of what it becomes.
        """
        options = {
            "workers": workers,
            "listen": listen,
            "control": control,
            "data_dir": str(data_dir),
            "orphan_s": orphan_s,
            "control_stop_s": control_stop_s,
            "standby_after_s": standby_after_s,
            "form": form,
            "next_form": next_form,
        }
        self.process = subprocess.Popen(
            [PYTHON, __file__, "serve", json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )
        self._data_dir = data_dir
        self.lines: list[str] = []
        self.pids: dict[str, int] = {}
        self._rest = b""
        self._seen = 0
        self.ports: list[list[list]] = json.loads(self.wait_for(r"^ports (.*)$")[1])

    def wait_for(self, pattern: str, timeout_s: float = PATIENCE_S) -> re.Match:
        """The next line that matches, after those matched before."""
        deadline = time.monotonic() + timeout_s
        while True:
            while self._seen < len(self.lines):
                line = self.lines[self._seen]
                self._seen += 1
                if found := re.search(pattern, line):
                    return found
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} not in\n" + "\n".join(self.lines)
            self._read(left)

    def wait_for_all(self, *patterns: str) -> None:
        """One line for each, in any order."""
        missing = list(patterns)
        while missing:
            line = self.wait_for("|".join(missing)).string
            missing = [pattern for pattern in missing if not re.search(pattern, line)]

    def _read(self, timeout_s: float) -> None:
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        if not ready:
            return
        data = os.read(self.process.stdout.fileno(), 65536)
        assert data, "the supervisor ended:\n" + "\n".join(self.lines)
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self.lines.append(line.decode())
            if found := re.search(
                r"^(control|worker \d+|standby (?:\d+|control)) started, process (\d+)$", self.lines[-1]
            ):
                self.pids[found[1]] = int(found[2])

    def started(self, name: str, other_than: int = 0, timeout_s: float = PATIENCE_S) -> int:
        """The process of that name, as soon as there is one, or another one."""
        deadline = time.monotonic() + timeout_s
        while self.pids.get(name, other_than) == other_than:
            assert time.monotonic() < deadline, f"no {name} in\n" + "\n".join(self.lines)
            self._read(0.1)
        return self.pids[name]

    def standing_by(self) -> None:
        """Until every worker has its standby, and all keep the descriptors."""
        missing = {f"standby {index}" for index in range(len(self.ports))}
        while missing := missing - self.pids.keys():
            self.wait_for(r"^standby \d+ started")
        deadline = time.monotonic() + PATIENCE_S
        while len(list(self._data_dir.glob("run/keeper-*.sock"))) < 2 * len(self.ports):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def ready(self) -> None:
        """Until every worker said so and control has spoken."""
        workers = {str(index) for index in range(len(self.ports))}
        while workers:
            workers.discard(self.wait_for(r"^said (\d+) READY")[1])

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = PATIENCE_S) -> int:
        self.process.send_signal(number)
        return self.drain(timeout_s)

    def drain(self, timeout_s: float = PATIENCE_S) -> int:
        """Reads to the end; the exit status."""
        output, _ = self.process.communicate(timeout=timeout_s)
        self.lines += (self._rest + output).decode().splitlines()
        return self.process.returncode

    def close(self) -> None:
        """Nothing of ours stays, whatever the test did."""
        for pid in (self.process.pid, *self.pids.values()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        self.process.stdout.close()


def alive(pid: int) -> bool:
    """Running, and not only waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


if __name__ == "__main__":
    role, argument = sys.argv[1:]
    sys.exit(serve(json.loads(argument)) if role == "serve" else control(argument))
