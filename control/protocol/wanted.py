"""What somebody should get of each member's pictures, for encodings the worker has not spoken of yet.

Higher encodings only while somebody has the source on a slot and asks for them; the lowest as soon as
somebody might see it, so that a newcomer finds it running. Kept by differences: a look at all viewers of all
senders grows with the square of a conference.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Set

from control.protocol.member import Member
from control.protocol.rates import encoding_names
from control.protocol.sealing import sealed_of
from control.protocol.sending import Encoding
from control.protocol.view import View, sealed_name


class Wanted:
    """Of one conference."""

    def __init__(self) -> None:
        self._counted: Mapping[int, View] = {}
        self._views: dict[int, Counter[Encoding]] = {}  # by member: how many views want it
        self._lowest: dict[int, set[Encoding]] = {}  # by member
        self._looks: dict[int, dict[str, int | None]] = {}  # by member and source: somebody who looks

    def of(self, number: int) -> Set[Encoding]:
        """Of one member's encodings."""
        return self._lowest.get(number, set()) | self._views.get(number, {}).keys()

    def update(
        self,
        members: Mapping[int, Member],
        changed: Collection[int],
        views: Mapping[int, View],
    ) -> set[int]:
        """After a change of members or of what they see; the members of whom other things may be wanted.

        `changed`: members that are new, gone or different; of all others only views may be.
        """
        before, self._counted = self._counted, views
        looking_anew = {n for n, view in views.items() if before.get(n) is not view}
        looking_anew |= before.keys() - views.keys()
        touched: set[int] = set()
        for number in looking_anew:
            old, new = before.get(number), views.get(number)
            was, wants = (old.wanted if old else frozenset()), (new.wanted if new else frozenset())
            for sender, encoding in was - wants:
                touched.add(sender)
                count = self._views[sender]
                count[encoding] -= 1
                if not count[encoding]:
                    del count[encoding]
            for sender, encoding in wants - was:
                touched.add(sender)
                self._views.setdefault(sender, Counter())[encoding] += 1
        asked = set(changed)
        if looking_anew:
            # Who looked may no more; where nobody did, somebody may now.
            anew = {None, *looking_anew}
            asked |= {n for n, looks in self._looks.items() if not anew.isdisjoint(looks.values())}
            asked |= {n for n, member in members.items() if member.transport.sealed}
        for number in asked:
            touched.add(number)
            if number in members:
                self._ask(members[number], members)
            else:
                for known in (self._views, self._lowest, self._looks):
                    known.pop(number, None)
        return touched & members.keys()

    def _ask(self, sender: Member, members: Mapping[int, Member]) -> None:
        lowest: set[Encoding] = set()
        looks: dict[str, int | None] = {}
        number, sealed = sender.number, sender.transport.sealed
        for source, section in sender.transport.senders.items():
            if section.kind != "video":
                continue
            viewers = (v for v in members.values() if v is not sender and _looks(v, number, source))
            name = encoding_names(section)[0]
            if source not in sealed:
                # One form for all: the first who looks decides, and the rest need not be asked.
                first = next(viewers, None)
                looks[source] = None if first is None else first.number
                if first is not None:
                    lowest.add((source, name))
                continue
            for viewer in viewers:
                form = source if sealed_of(viewer, sender, source) is None else sealed_name(source)
                lowest.add((form, name))
        self._lowest[number], self._looks[number] = lowest, looks


def _looks(viewer: Member, number: int, source: str) -> bool:
    wish = viewer.wishes.of((number, source))
    return wish is not None and not wish.hidden
