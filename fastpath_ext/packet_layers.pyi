from typing import Any, final

class DescriptorError(ValueError):
    """The descriptor is malformed."""

@final
class DependencyReader:
    """Reads the descriptors of one encoding in order."""

    def __new__(cls) -> DependencyReader: ...
    def read(self, descriptor: bytes) -> dict[str, Any] | None:
        """What it says of its frame, or None while its structure is not known."""
