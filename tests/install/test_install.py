"""From a wheel to a call, as docs/operations.md tells an operator to.

On a Debian that has Python and systemd and nothing of ours, beside a homeserver that runs elsewhere.
"""

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from control.demo.browsers import Browsers, Page
from control.demo.participants import Participant
from control.demo.people import Account
from control.demo.process import free_port
from tests.cli.operator import until
from tests.conftest import Synapse
from tests.install.machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SECRET = "/etc/matrix-synapse/homeserver.yaml"
SEEN_S = 60.0
"""For two people to see each other on a machine that encodes two pictures in software meanwhile."""

SIGN_IN = """(() => {
    const [homeserver, user, password] = document.querySelectorAll("form input");
    const type = (input, text) => {
        input.value = text;
        input.dispatchEvent(new Event("input", { bubbles: true }));
    };
    type(homeserver, %(homeserver)s);
    type(user, %(user)s);
    type(password, %(password)s);
})()"""


def steps(root: Path) -> list[str]:
    """The commands of the chapter "Install"."""
    chapter = (root / "docs/operations.md").read_text().split("## Install", 1)[1]
    block = re.search(r"```sh\n(.*?)```", chapter, re.DOTALL)
    assert block is not None
    return [line.strip() for line in block[1].splitlines() if line.strip()]


@contextmanager
def timed(times: dict[str, float], what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    times[what] = time.monotonic() - began


@pytest.fixture(scope="module")
def wheel(root: Path) -> Path:
    found = sorted((root / "dist").glob("sotto-*.whl"))
    assert len(found) == 1, "make wheel"
    return found[0]


@pytest.fixture
def machine(root: Path, tmp_path: Path) -> Iterator[Machine]:
    made = subprocess.check_output([root / "tools/install-root.sh"], text=True).splitlines()
    with Machine(Path(made[-2]), Path(made[-1]), tmp_path / "console") as machine:
        yield machine
        (tmp_path / "journal").write_text(machine.run("journalctl -o short-monotonic"))


def installed(
    machine: Machine, root: Path, wheel: Path, synapse: Synapse, tmp_path: Path, times: dict[str, float]
) -> str:
    """Follows the steps; the page's URL. Ports, the homeserver's address and answers to questions differ."""
    port, http = free_port(), f"127.0.0.1:{free_port()}"
    secret = tmp_path / "secret"
    secret.write_text(f'registration_shared_secret: "{synapse.homeserver.registration_secret}"\n')
    machine.run("mkdir -p /etc/matrix-synapse")
    machine.put(secret, SECRET)
    machine.put(wheel, f"/root/{wheel.name}")
    folder = "/root"
    for step in steps(root):
        command = step
        if " init " in step:
            command += f" --yes --homeserver {synapse.url} --http {http}"
        if "enable --now" in step:  # not the usual port: others measure on this machine
            machine.run(f"sed -i 's/^port = .*/port = {port}/' sotto.toml", cwd=folder)
        with timed(times, step.split(" --")[0]):
            machine.run(command, cwd=folder, status=None if "doctor" in step else 0)
        if (moved := re.search(r"&& cd (\S+)$", step)) is not None:
            folder = moved[1]
    return f"http://{http}"


def status_of(url: str, headers: dict[str, str] | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


async def enter(page: Page, account: Account, synapse: Synapse) -> None:
    """Signs in as a person does, with the mouse and the keyboard, and joins."""
    await page.wait("document.querySelector('form input[type=password]') !== null")
    given = {"homeserver": synapse.url, "user": account.localpart, "password": account.password}
    await page.evaluate(SIGN_IN % {name: json.dumps(value) for name, value in given.items()})
    await page.click("form button[type=submit]")
    await page.wait("sotto.state().screen === 'lobby' && sotto.state().media.video", SEEN_S)
    await page.click(".lobby .primary")


async def test_from_a_wheel_to_a_call(
    machine: Machine, root: Path, wheel: Path, synapse: Synapse, tmp_path: Path
) -> None:
    times: dict[str, float] = {}
    began = time.monotonic()
    url = installed(machine, root, wheel, synapse, tmp_path, times)
    until(lambda: status_of(f"{url}/readyz") == 200)
    times["all of it, until it is ready"] = time.monotonic() - began

    sotto = "SOTTO_CONFIG=/etc/sotto/sotto.toml /opt/sotto/bin/sotto"
    told = json.loads(machine.run(f"{sotto} version --json"))
    assert "ipsec-mb" in told["crypto"], told
    findings = json.loads(machine.run(f"{sotto} doctor --json", status=None))
    assert not [each for each in findings if each["level"] == "error"], findings
    exposure = machine.run("systemd-analyze security sotto.service", status=None).splitlines()[-1]
    assert float(re.search(r"sotto.service: ([\d.]+)", exposure)[1]) <= 2.0, exposure
    assert machine.run("stat -c %U /proc/$(systemctl show -P MainPID sotto)").strip() == "sotto"

    people = await synapse.accounts("alice", "bob")
    room = await synapse.room(*people)
    with Browsers() as browsers:
        entered = time.monotonic()
        seen: list[Participant] = []
        for person in people:
            page = await (await browsers.launch(fps=15)).open(f"{url}/?room={room}", size=(1040, 600))
            await enter(page, person, synapse)
            seen.append(Participant(person.localpart, page))
            await seen[-1].joined(SEEN_S)
        first, second = seen
        await first.sees([second.member], SEEN_S)
        await second.sees([first.member], SEEN_S)
        times["two browsers, until each sees the other"] = time.monotonic() - entered
        times["from wheel to call"] = time.monotonic() - began

        figures(root, url, tmp_path)
        assert status_of(f"{url}/metrics", {"Host": "meet.example.org"}) == 403
        explained = machine.run(f"{sotto} explain {people[0].user_id}", status=None)
        assert "microphone: arrives" in explained or "audio: arrives" in explained, explained

        # The number that a person reads out, as the log has it.
        number = re.search(r"call (\w{3}-\w{3}) joined", machine.run("journalctl -u sotto -o cat"))
        assert number is not None
        assert f"call {number[1]}: conference 1" in machine.run(f"{sotto} explain {number[1]}", status=None)

        # Every process renewed, then the supervisor killed, under the unit's restrictions: the call goes on.
        with timed(times, "systemctl reload sotto"):
            machine.run("systemctl reload sotto")
        await goes_on(first, second)
        before = machine.run("systemctl show -P MainPID sotto").strip()
        machine.run("systemctl kill -s KILL --kill-who=main sotto")
        until(lambda: machine.run("systemctl show -P MainPID sotto").strip() not in (before, "0"))
        await goes_on(first, second)
    journal = machine.run("journalctl -u sotto -o cat")
    assert not re.search(r"@(alice|bob)", journal)
    with timed(times, "systemctl stop sotto"):
        machine.run("systemctl stop sotto")
    assert machine.run("grep -l '[/]opt/sotto' /proc/[0-9]*/cmdline", status=None) == ""
    print()
    for what, seconds in times.items():
        print(f"{seconds:7.1f} s  {what}")


async def goes_on(*people: Participant) -> None:
    """New pictures are decoded by everybody."""
    for person in people:
        new = "framesDecoded > %d && camera.verdict === 'decrypting'"
        decoded = f"sotto.state().tiles.every(({{ framesDecoded, camera }}) => {new})"
        frames = max(tile["framesDecoded"] for tile in (await person.state())["tiles"])
        await person.page.wait(decoded % (frames + 20), SEEN_S)


def figures(root: Path, url: str, tmp_path: Path) -> None:
    """The real Prometheus reads them, with our rules."""
    tools = Path(subprocess.check_output([root / "tools/prometheus.sh"], text=True).splitlines()[-1])
    listen = f"127.0.0.1:{free_port()}"
    (tmp_path / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s}}\nrule_files: [{root}/packaging/prometheus-alerts.yml]\n"
        f"scrape_configs: [{{job_name: sotto, static_configs: [{{targets: ['{url.removeprefix('http://')}']}}]}}]\n"
    )
    command = [
        tools / "prometheus", f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address={listen}", "--log.level=error",
    ]  # fmt: skip
    running = subprocess.Popen(command)

    def value(query: str) -> float:
        try:
            with urllib.request.urlopen(f"http://{listen}/api/v1/query?query={query}", timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return -1
        return float(found[0]["value"][1]) if found else -1

    try:
        until(lambda: value("sotto_members") == 2)
        until(lambda: value("sum(rate(sotto_worker_rtp_forwarded_total[5s]))") > 0)
    finally:
        running.terminate()
        running.wait(20)
