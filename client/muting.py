"""What of ours is muted: nothing of it is sent, and everybody is told."""

from collections.abc import Callable
from typing import Any

from client.protocol import messages
from client.sending import Senders


class Muting:
    """Of one membership. `metadata`: what is said of our streams."""

    def __init__(self, stream_id: str, senders: Senders, say: Callable[[str], None]) -> None:
        self._stream_id, self._senders, self._say = stream_id, senders, say
        self.metadata: dict[str, Any] = messages.stream_metadata(stream_id)

    def mute(self, audio: bool, video: bool) -> None:
        if self._senders.microphone is not None:
            self._senders.microphone.muted = audio
        if self._senders.camera is not None:
            self._senders.camera.muted = video
        self.metadata = messages.stream_metadata(self._stream_id, audio, video)
        self._say(messages.metadata_changed(self.metadata))

    def mute_source(self, source: str) -> bool:
        """By name; False when it is off or we have none."""
        both = microphone, camera = self._senders.microphone, self._senders.camera
        sender = {"audio": microphone, "camera": camera}.get(source)
        if sender is None or sender.muted:
            return False
        off = [each is None or each is sender or each.muted for each in both]
        self.mute(off[0], off[1])
        return True
