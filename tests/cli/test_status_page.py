"""The status page, as its operator and as a stranger meet it."""

import json
import stat
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from tests.cli.operator import sotto
from tests.patience import PATIENCE_S


@pytest.fixture(scope="module")
def address(running: Path) -> str:
    """With its token."""
    return sotto("status", "--page", "--config", running).stdout.strip()


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_stranger_sees_nothing(address: str):
    base = address.partition("?")[0]
    assert [status_of(url) for url in (base, base + ".json", base + "?token=", base + "?token=guess")] == [
        403
    ] * 4


def test_the_operator_sees_the_figures_and_the_token_leaves_the_address_bar(address: str):
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with browser.open(address, timeout=PATIENCE_S) as page:
        assert page.url == address.partition("?")[0]
        text = page.read().decode()
    assert "Conferences" in text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    with browser.open(page.url + ".json", timeout=PATIENCE_S) as figures:
        told = json.load(figures)
    assert told["ready"]
    assert told["workers"][0]["counters"]["loop_turns"] > 0


def test_the_token_is_the_operators_alone(running: Path):
    token = next(running.parent.glob("data/run/status.token"))
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
