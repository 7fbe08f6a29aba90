"""The configuration as an operator meets it: what is refused, and where the message points."""

from pathlib import Path

import pytest

from control.config import Config, ConfigError, load
from control.protocol.rates import Rates

MINIMAL = """\
[homeserver]
url = "https://matrix.example.org"
user_id = "@sotto:example.org"
password_file = "bot.password"
"""


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str) -> Path:
        path = tmp_path / "sotto.toml"
        path.write_text(text)
        return path

    return written


def test_the_smallest_file_gives_defaults(write):
    path = write(MINIMAL)
    config = load(path, {})
    assert config.homeserver.password_file == path.parent / "bot.password"
    assert config.server.data_dir == path.parent / "data"
    assert config.media.listen == ("::",)
    assert config.media.port == 40000
    assert config.client.key_transport == "timeline"
    assert config.client.homeserver_url == config.homeserver.url
    assert config.http_address == ("127.0.0.1", 8450)


def test_the_example_is_valid():
    config = load(Path(__file__).parents[1] / "examples" / "sotto.toml", {})
    assert config.homeserver.user_id == "@sotto:example.org"


def test_the_page_is_the_folder_named_or_the_one_that_came_with_the_program(write, tmp_path):
    root = Path(__file__).parents[1]
    assert load(write(MINIMAL), {}).client.page in (root / "web" / "dist", root / "control" / "page", None)
    assert load(write(MINIMAL + '[client]\nweb_dir = "web"\n'), {}).client.page == tmp_path / "web"


def test_environment_wins(write):
    config = load(
        write(MINIMAL + '[media]\nport = 5000\nlisten = ["::"]\n'),
        {
            "SOTTO_MEDIA_PORT": "6000",
            "SOTTO_MEDIA_LISTEN": "127.0.0.1, ::1",
            "SOTTO_SERVER_HTTP": "[::1]:80",
            "SOTTO_SERVER_ALLOWED_SERVERS": "example.org, example.net",
            "SOTTO_PROFILE": "debug",
        },
    )
    assert config.media.port == 6000
    assert config.media.listen == ("127.0.0.1", "::1")
    assert config.http_address == ("::1", 80)
    assert config.server.allowed_servers == ("example.org", "example.net")


def test_rates_are_given_to_the_conferences(write):
    text = MINIMAL + "[media]\nfull_bps = 900000\nshare_percent = 30\ndownlink_max_bps = 4000000\n"
    rates = load(write(text), {}).media.rates
    assert rates == Rates((150_000, 500_000, 900_000), 2_500_000, 30, 4_000_000)
    assert load(write(MINIMAL), {}).media.rates == Rates()


def test_handed_over_unchanged(write):
    config = load(write(MINIMAL + '[client]\nweb_dir = "web"\n[demo]\npeople = "p.json"\n'), {})
    assert Config.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[homserver]\n", 1, "did you mean homeserver?"),
        (MINIMAL + "passwort = 1\n", 5, "has no option passwort"),
        (MINIMAL + "\n[media]\nlisten = '::'\n", 7, "must be a list"),
        (MINIMAL + "[media]\nport = '5000'\n", 6, "whole number"),
        (MINIMAL + "[media]\nport = true\n", 6, "whole number"),
        (MINIMAL + "[media]\nport = 65535\n[server]\nworkers = 2\n", 6, "room for one per worker"),
        (MINIMAL + "[media]\nupgrade_port = 40001\n[server]\nworkers = 2\n", 6, "apart from port"),
        (MINIMAL + "[media]\nupgrade_port = 70000\n", 6, "room for all workers"),
        (MINIMAL + "[media]\nlisten = []\n", 6, "at least one"),
        (MINIMAL + "[media]\nlisten = ['::', '127.0.0.1']\n", 6, "list it alone"),
        (MINIMAL + "[media]\nlisten = ['0.0.0.0', '127.0.0.1']\n", 6, "every IPv4"),
        (MINIMAL + "[media]\nlisten = ['::1', '::1']\n", 6, "listed twice"),
        (MINIMAL + "[media]\n\nadvertise = ['example.org']\n", 7, "not an IP address"),
        (MINIMAL + "[media]\nadvertise = ['0.0.0.0']\n", 6, "nobody can send"),
        (MINIMAL + "[media]\nfull_bps = 400000\n", 6, "not be below middle_bps"),
        (MINIMAL + "[media]\nmiddle_bps = 100000\n", 6, "not be below thumbnail_bps"),
        (MINIMAL + "[media]\nscreen_bps = 1000\n", 6, "between 30000"),
        (MINIMAL + "[media]\nshare_percent = 0\n", 6, "between 1 and 100"),
        (MINIMAL + "[media]\nbusy_poll_us = 200000\n", 6, "between 0 and 100000"),
        (MINIMAL + "[media]\ndownlink_max_bps = -1\n", 6, "0 (no bound)"),
        (MINIMAL + "[client]\nembed_in = ['https://a.example; script-src *']\n", 6, "is no origin"),
        (MINIMAL + "[server]\npublic_url = 'https://calls.example.org'\n", 6, "must end with"),
        (MINIMAL + "[server]\npublic_url = 'calls/'\n", 6, "http or https"),
        (MINIMAL + "[client]\nkey_transport = 'pigeon'\n", 6, "to-device"),
        (MINIMAL + "[client]\nhomeserver_url = 'ftp://x'\n", 6, "http or https"),
        (MINIMAL + "access_token_file = 'token'\n", 5, "contradict"),
        (MINIMAL + "[server]\nhttp = '::1:80'\n", 6, "address:port"),
        (MINIMAL + "[server]\nhttp = '8448'\n", 6, "address:port"),
        (MINIMAL + "[server]\nmetrics = 'public'\n", 6, '"local", "token" or "open"'),
        (MINIMAL + "[server]\nmetrics = 'token'\n", 6, "metrics_token_file go together"),
        (MINIMAL + "[server]\nworkers = -1\n", 6, "one per core"),
        (MINIMAL.replace("@sotto:example.org", "sotto"), 3, "whole id"),
        (MINIMAL.replace("https://", "https://user@"), 2, "without a user"),
        (MINIMAL.replace("password_file", "# password_file"), 1, "is needed"),
        ("server = 3\n" + MINIMAL, 1, "write [server]"),
        (MINIMAL + "[media\n", 5, "Expected"),
        ("", 1, "http or https"),
    ],
)
def test_refused_where_it_stands(write, text: str, line: int, says: str):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert f":{line}:" in str(caught.value) or f"line {line}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SOTTO_MEDIA_PROT", "1", "no option prot"),
        ("SOTTO_MEDIA_PORT", "x", "whole number"),
        ("SOTTO_MEDIA_PORT", "70000", "between 0 and 65535"),
        ("SOTTO_CLIENT_KEY_TRANSPORT", "x", "timeline"),
    ],
)
def test_a_wrong_variable_is_named(write, name: str, value: str, says: str):
    with pytest.raises(ConfigError, match=name) as caught:
        load(write(MINIMAL), {name: value})
    assert says in str(caught.value)


def test_no_file(tmp_path: Path):
    with pytest.raises(ConfigError, match="sotto init"):
        load(tmp_path / "none.toml", {})
