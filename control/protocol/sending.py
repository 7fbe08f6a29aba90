"""What a member is asked to send (P.send): the worker's orders, and before those what a call begins with."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from control.protocol import names
from control.protocol.allocation import Row
from control.protocol.rates import Rates, encoding_names
from control.protocol.sdp_agreement import SenderSection
from control.protocol.transport import Transport

Encoding = tuple[str, str]  # source, name of the encoding


@dataclass(frozen=True, slots=True)
class Order:
    """Of one encoding, as the worker gives it."""

    active: bool
    bps: int
    scale_percent: int  # of its own nominal size: 200 = half as wide
    framerate: int  # 0 = as it likes


class Sending:
    """Of one sender.

    An order holds until the next. Of what the worker has not spoken yet, what somebody views is on.
    """

    def __init__(self) -> None:
        self.version = 0  # counts changes
        self.viewed: AbstractSet[Encoding] = frozenset()
        self._forms: Mapping[str, list[str]] = {}
        self._made: tuple[tuple[int, int], dict[str, Any]] | None = None
        self._orders: dict[tuple[Row, int], Order] = {}  # by source and encoding

    def views(self, viewed: AbstractSet[Encoding], forms: Mapping[str, list[str]]) -> None:
        """What somebody views; of sources that have a sealed form, the forms that somebody is given."""
        if viewed != self.viewed or forms != self._forms:
            self.viewed, self._forms = viewed, forms
            self.version += 1

    def order(self, source: Row, encoding: int, order: Order) -> None:
        self.version += 1
        self._orders[source, encoding] = order

    def keep(self, sources: Iterable[Row]) -> None:
        """Orders for other sources than these are of no more use."""
        self.version += 1
        left = set(sources)
        self._orders = {key: order for key, order in self._orders.items() if key[0] in left}

    def content(self, transport: Transport, rates: Rates) -> dict[str, Any]:
        """P.send, always whole. The same value as long as nothing changes."""
        key = self.version, transport.agreement.revision
        if self._made is None or self._made[0] != key:
            content: dict[str, Any] = {"sources": self._sources(transport, transport.senders, rates)}
            if transport.sealed:
                content["sealed"] = self._sources(transport, transport.sealed, rates)
                content["forms"] = self._forms
            self._made = key, content
        return self._made[1]

    def _sources(
        self, transport: Transport, sections: Mapping[str, SenderSection], rates: Rates
    ) -> dict[str, Any]:
        return {
            section.source: {"encodings": self._encodings(section, transport.sources[section.mid], rates)}
            for section in sections.values()
            if section.kind == "video"
        }

    def _encodings(self, section: SenderSection, source: Row, rates: Rates) -> dict[str, Any]:
        told = {}
        for index, (name, most) in enumerate(zip(encoding_names(section), rates.most(section), strict=True)):
            viewed = f"{section.source} {names.SEALED_FORM}" if section.sealed else section.source
            first = Order((viewed, name) in self.viewed, most, 100, 0)
            told[name] = _encoding(self._orders.get((source, index), first))
        return told


def _encoding(order: Order) -> dict[str, Any]:
    if not order.active or not order.bps:
        return {"active": False}
    told: dict[str, Any] = {"active": True, "max_bitrate": order.bps}
    if order.scale_percent > 100:
        told["scale_resolution_down_by"] = order.scale_percent / 100
    if order.framerate:
        told["max_framerate"] = order.framerate
    return told
