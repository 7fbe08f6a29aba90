"""For the client's tests: hypothesis without its deadline, which a busy machine would miss."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("client", deadline=None)
settings.load_profile("client")
