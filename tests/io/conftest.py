"""What several tests of the bot begin with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nio import AsyncClient

from tests.conftest import Synapse
from tests.io.bot import somebody


@pytest.fixture
async def person(synapse: Synapse, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    """Somebody with a client of the bot's own library; syncing is up to the test."""
    client = await somebody(synapse, tmp_path)
    yield client
    await client.close()
