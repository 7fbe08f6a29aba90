"""The command line as an operator meets it: a real homeserver, the real server, its real socket."""

import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from control.cli import options
from control.cli.texts import COMMANDS
from control.config import SECTIONS, load
from control.demo.memory import descendants
from control.run_dir import holder, supervisor_lock
from tests.cli.operator import sotto, until
from tests.conftest import Synapse


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str):
    if command in ("demo", "join", "bench"):  # programs of their own
        return
    said = sotto(command, "--help").stdout
    assert "Usage: sotto" in said
    assert len(said.splitlines()) > 4


def test_programs_that_are_called_are_there(root: Path):
    """bench is of the sources, so it is looked for where they are."""
    for command in ("join", "bench"):
        assert f"usage: sotto {command}" in sotto(command, "--help").stdout, command


def test_a_mistyped_command_is_named(tmp_path: Path):
    assert "did you mean 'doctor'?" in sotto("docter", status=os.EX_USAGE).stderr


def test_without_a_configuration_it_says_where_it_looked(tmp_path: Path):
    missing = tmp_path / "sotto.toml"
    for command in ("serve", "doctor", "status", "drain", "upgrade"):
        said = sotto(command, "--config", missing, status=os.EX_CONFIG).stderr
        assert f"no configuration at {missing}" in said
        assert "sotto init" in said


def test_version_names_what_an_upgrade_needs_to_know():
    told = json.loads(sotto("version", "--json").stdout)
    assert told["table_layout"] >= 3
    assert told["sotto"]
    assert "ipsec-mb" in told["crypto"] or "OpenSSL" in told["crypto"]


def test_version_alone():
    assert sotto("--version").stdout == f"{importlib.metadata.version('sotto')}\n"


def test_what_a_shell_needs_to_complete_is_printed():
    for shell in ("bash", "zsh", "fish"):
        assert "_SOTTO_COMPLETE" in sotto("completion", shell).stdout, shell


def test_shell_completion_is_there():
    completed = subprocess.run(
        [Path(sys.executable).parent / "sotto"],
        env={**os.environ, "_SOTTO_COMPLETE": "bash_complete", "COMP_WORDS": "sotto do", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "plain,doctor" in completed.stdout


class TestOptions:
    def test_each_is_explained_with_an_example_of_its_own(self, tmp_path: Path):
        found = {(option.section, option.name): option for option in options.options()}
        fields = {
            (section, name)
            for section, kind in SECTIONS.items()
            if section not in options.HIDDEN
            for name in kind.__dataclass_fields__
        }
        assert found.keys() == fields
        for option in found.values():
            assert option.text, option
            assert option.example != option.default, option

    def test_the_examples_are_accepted(self, tmp_path: Path):
        lines: list[str] = []
        for option in options.options():
            if f"[{option.section}]" not in lines:
                lines.append(f"[{option.section}]")
            if option.name != "access_token_file":  # contradicts the password
                lines.append(f"{option.name} = {option.example}")
        path = tmp_path / "all.toml"
        path.write_text("\n".join(lines))
        load(path, {})
        assert "nothing is wrong" in sotto("config", "check", "--config", path).stdout

    def test_the_page_is_that_of_the_source(self, root: Path):
        assert (root / "docs/configuration.md").read_text() == options.markdown(), (
            "write it anew: sotto config --markdown > docs/configuration.md"
        )


class TestInit:
    def test_writes_what_can_be_used_and_keeps_the_password_from_others(self, settled: Path):
        assert "nothing is wrong" in sotto("config", "check", "--config", settled).stdout
        assert (settled.parent / "bot.password").stat().st_mode & 0o077 == 0
        assert 'user_id = "@operated:localhost"' in settled.read_text()

    def test_overwrites_nothing(self, settled: Path):
        assert "is there already" in sotto("init", "--yes", "--config", settled, status=1).stderr

    def test_without_a_homeserver_it_writes_nothing(self, tmp_path: Path):
        path = tmp_path / "sotto.toml"
        said = sotto(
            "init", "--yes", "--config", path, "--homeserver", "http://127.0.0.1:1", status=69
        ).stderr
        assert "Connection refused" in said
        assert not path.exists()

    @pytest.mark.parametrize(
        ("option", "value", "said"),
        [
            ("--http", "8448", "http must be address:port"),
            ("--advertise", "meet.example.org", "not an IP address"),
        ],
    )
    def test_what_would_be_no_configuration_is_refused_before_anything_is_made(
        self, synapse: Synapse, tmp_path: Path, option: str, value: str, said: str
    ):
        path = tmp_path / "sotto.toml"
        told = sotto(
            "init", "--yes", "--config", path, "--homeserver", synapse.url, option, value, status=os.EX_CONFIG
        )
        assert said in told.stderr
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_there_is_named(self, synapse: Synapse, tmp_path: Path):
        path = tmp_path / "etc" / "sotto.toml"
        said = sotto("init", "--yes", "--config", path, "--homeserver", synapse.url, status=1).stderr
        assert f"mkdir -p {tmp_path / 'etc'}" in said

    def test_the_secret_is_found_in_synapses_own_file_and_a_taken_name_is_said(
        self, synapse: Synapse, tmp_path: Path
    ):
        (tmp_path / "homeserver.yaml").write_text(
            "# registration_shared_secret: <PRIVATE>\nserver_name: localhost\n"
            f'registration_shared_secret: "{synapse.homeserver.registration_secret}"\n'
        )
        init = (
            "init", "--yes", "--homeserver", synapse.url, "--user", "taken",
            "--registration-secret-file", tmp_path / "homeserver.yaml",
        )  # fmt: skip
        assert "account taken: made" in sotto(*init, "--config", tmp_path / "sotto.toml").stdout
        other = tmp_path / "other"
        other.write_text("of another account\n")
        again = sotto(*init, "--config", tmp_path / "b.toml", "--password-file", other, status=1)
        assert "account taken: is there already" in again.stdout
        assert "another password" in again.stderr

    def test_another_secret_is_named(self, synapse: Synapse, tmp_path: Path):
        secret = tmp_path / "secret"
        secret.write_text("guessed\n")
        said = sotto(
            "init", "--yes", "--config", tmp_path / "sotto.toml", "--homeserver", synapse.url,
            "--registration-secret-file", secret, "--user", "unmade",
            status=1,
        ).stderr  # fmt: skip
        assert "another registration_shared_secret" in said

    def test_an_account_that_is_not_there_is_explained(self, synapse: Synapse, tmp_path: Path):
        said = sotto(
            "init", "--yes", "--config", tmp_path / "sotto.toml", "--homeserver", synapse.url,
            "--user", "nobody",
            status=1,
        ).stderr  # fmt: skip
        assert "register_new_matrix_user -u nobody" in said


class TestRunning:
    def test_status_for_people_and_for_programs(self, running: Path):
        until(lambda: "0 conferences, 0 people   ready" in sotto("status", "--config", running).stdout)
        assert "worker" in sotto("status", "--config", running).stdout
        told = json.loads(sotto("status", "--json", "--config", running).stdout)
        assert [worker["index"] for worker in told["workers"]] == list(range(len(told["workers"])))
        assert all(worker["starts"] >= 1 and worker["heartbeat_age_s"] >= 0 for worker in told["workers"])

    def test_explain_says_when_somebody_is_not_there(self, running: Path):
        assert (
            "is in no conference"
            in sotto("explain", "@alice:localhost", "--config", running, status=68).stderr
        )

    def test_explain_takes_a_person_or_a_number(self, running: Path):
        said = sotto("explain", "alice", "--config", running, status=os.EX_USAGE).stderr
        assert "neither @name:server nor the number of a call" in said
        assert "read out right" in sotto("explain", "K7M-2QX", "--config", running, status=68).stderr

    def test_the_log_says_when_it_is_ready_and_where(self, running: Path):
        _, port = load(running, {}).http_address
        until(lambda: f"ready: page and figures on TCP {port}, " in (running.parent / "log").read_text())

    def test_drain_and_back(self, running: Path):
        assert "empty: the server can be stopped" in sotto("drain", "--config", running).stdout
        assert json.loads(sotto("status", "--json", "--config", running).stdout)["draining"]
        assert "new conferences are taken" in sotto("drain", "--off", "--config", running).stdout

    def test_the_log_level_changes_while_it_runs(self, running: Path):
        sotto("status", "--log-level", "sotto.control=debug", "--config", running)
        assert (
            "no such log level"
            in sotto("status", "--log-level", "loud", "--config", running, status=1).stderr
        )

    def test_the_log_is_json_and_names_nobody(self, running: Path):
        lines = [json.loads(line) for line in (running.parent / "log").read_text().splitlines()]
        assert {"time", "level", "role", "message"} <= lines[0].keys()
        assert not any("@" in line["message"] for line in lines)

    def test_no_secret_is_in_arguments_or_environments(self, running: Path):
        """Which `ps` shows to everybody, and a crash report to whoever reads it."""
        password = (running.parent / "bot.password").read_bytes().strip()
        kept = load(running, {}).server.data_dir / "matrix"
        login = json.loads((kept / "login.json").read_text())
        secrets = [password, login["access_token"].encode()]
        secrets += [path.read_bytes().strip() for path in kept.iterdir() if "key" in path.name]
        assert len(secrets) >= 3
        assert all(len(secret) >= 8 for secret in secrets)
        server = holder(supervisor_lock(load(running, {}).server.data_dir / "run"))
        processes = descendants(server)
        assert len(processes) >= 3
        for pid in processes:
            for what in ("cmdline", "environ"):
                with contextlib.suppress(FileNotFoundError):  # a standby that just ended
                    shown = Path(f"/proc/{pid}/{what}").read_bytes()
                    assert not any(secret in shown for secret in secrets), what

    def test_an_upgrade_renews_every_process(self, running: Path):
        before = json.loads(sotto("status", "--json", "--config", running).stdout)
        said = sotto("upgrade", "--config", running).stdout
        assert said.startswith("renewed in ")
        after = json.loads(sotto("status", "--json", "--config", running).stdout)
        assert after["control"] != before["control"]
        assert after["ready"]

    def test_a_second_server_in_the_same_folder_is_refused(self, running: Path):
        assert "in use by a running server" in sotto("serve", "--config", running, status=69).stderr
