"""Keys of the others, by member, source and epoch; opens their frames."""

from dataclasses import dataclass, field

from client.keys.frames import MINIMUM, BaseKey, Opened, ReplayWindow, Verdict, clear_bytes
from client.keys.kid import EPOCHS, STEPS, Prefix, make_kid, split_kid_untrusted
from client.keys.sframe import KeyOfKid, SframeError, read_header_untrusted
from client.protocol import limits


@dataclass(slots=True)
class _Step:
    """One step of one base key: what the next is derived from, what opens frames, which frames came."""

    base: BaseKey
    opener: KeyOfKid
    seen: ReplayWindow = field(default_factory=ReplayWindow)


class Keyring:
    """`add` gets only keys whose sender was proved to be the member (client.keys.exchange sees to that)."""

    def __init__(self) -> None:
        self._held: dict[Prefix, dict[int, _Step]] = {}
        self._epochs: dict[tuple[int, int], list[int]] = {}  # of (member, source), newest last

    def add(self, member: int, source: int, base: BaseKey) -> bool:
        """False when another key of this very step is held: the first one stays, as its counters are in
        use."""
        prefix = Prefix(member, source, base.epoch % EPOCHS)
        known = self._step(prefix, base.step)
        if known is not None:
            return known.base.key == base.key
        self._hold(prefix, base)
        self._forget_old(member, source, base.epoch)
        return True

    def drop(self, member: int) -> None:
        """The member left; its number never comes back."""
        self._held = {prefix: steps for prefix, steps in self._held.items() if prefix.member != member}
        self._epochs = {pair: epochs for pair, epochs in self._epochs.items() if pair[0] != member}

    def has(self, member: int, source: int) -> bool:
        return (member, source) in self._epochs

    def open_untrusted(self, audio: bool, frame: bytes) -> Opened:
        """Whose frame it is, and what is in it. Never raises."""
        clear = clear_bytes(audio, frame)
        metadata, sealed = frame[:clear], frame[clear:]
        if len(sealed) < MINIMUM:
            return Opened(Verdict.NOT_ENCRYPTED)
        try:
            kid, counter, at = read_header_untrusted(sealed)
        except SframeError:
            return Opened(Verdict.NOT_ENCRYPTED)
        parts = split_kid_untrusted(kid)
        if parts is None or parts[0].source > 3 or (parts[0].source in (0, 3)) != audio:
            return Opened(Verdict.NOT_ENCRYPTED)
        prefix, number = parts
        step = self._step(prefix, number)
        if step is None:
            return Opened(Verdict.KEY_MISSING, *prefix)
        if not step.seen.is_new(counter):
            return Opened(Verdict.REPLAYED, *prefix)
        try:
            data = step.opener.open_untrusted(counter, sealed[:at], metadata, sealed[at:])
        except SframeError:
            return Opened(Verdict.WRONG_KEY, *prefix)
        step.seen.add(counter)
        return Opened(Verdict.OPENED, *prefix, data=metadata + data)

    def base(self, prefix: Prefix, number: int) -> BaseKey | None:
        """The base key at a step, for what is derived of it otherwise; None where it cannot be had."""
        step = self._step(prefix, number)
        return None if step is None else step.base

    def _step(self, prefix: Prefix, number: int) -> _Step | None:
        """Held, or ratcheted forward from an earlier step; None when it cannot be had.

        The wire has the step modulo 256, and step 255 is followed by a new key: no ambiguity.
        """
        steps = self._held.get(prefix)
        if steps is None:
            return None
        if number in steps:
            return steps[number]
        earlier = [each for each in steps if each < number]
        if not earlier or number - max(earlier) > limits.RATCHET_AHEAD_MAX:
            return None
        base = steps[max(earlier)].base
        while base.step < number:
            base = base.stepped()
            self._hold(prefix, base)
        return steps[number]

    def _hold(self, prefix: Prefix, base: BaseKey) -> None:
        kid = make_kid(prefix.member, prefix.source, prefix.epoch, base.step)
        self._held.setdefault(prefix, {})[base.step] = _Step(base, KeyOfKid(base.key, kid))

    def _forget_old(self, member: int, source: int, epoch: int) -> None:
        epochs = self._epochs.setdefault((member, source), [])
        if epoch not in epochs:
            epochs.append(epoch)
            epochs.sort()
        while len(epochs) > limits.EPOCHS_KEPT:
            self._held.pop(Prefix(member, source, epochs.pop(0) % EPOCHS), None)


# A step number beyond this is no ratchet step: the sender makes a new key instead.
STEP_MAX = STEPS - 1
