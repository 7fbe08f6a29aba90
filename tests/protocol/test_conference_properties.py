"""Whatever members do in whatever order: what must hold of slots, routes, roster and what is given out."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from control.protocol import names
from control.protocol.events import (
    ChannelClosed,
    ChannelOpened,
    ConsentExpired,
    Dominant,
    Event,
    HandshakeDone,
    PublishRoutes,
    SendTarget,
    SinkDeal,
    SinkSwitched,
    Speaking,
    TransportConnected,
    TransportId,
    ViewersLose,
)
from control.protocol.forwarding import Routes, compile_routes, diff
from control.protocol.member import Member
from control.protocol.rates import Rates, encoding_names
from control.protocol.rows import NONE
from control.protocol.view import View, see
from tests.protocol.people import CREATOR, KEYS, Person, World, apply, metadata, offer, world

PEOPLE = 6
# Small tables, so that they run full.
ROWS = (5, 14, 40)


@dataclass
class Model:
    """What a reader of docs/protocol.md would keep on paper."""

    where: World = field(default_factory=lambda: world(rows=ROWS))
    here: dict[int, Person] = field(default_factory=dict)  # by index of the person
    offered: dict[int, dict[str, Any]] = field(default_factory=dict)  # their last offer
    stage: dict[int, int] = field(
        default_factory=dict
    )  # 0 answered, 1 secured, 2 channel open, 3 closed again
    calls: int = 0
    numbers: list[int] = field(default_factory=list)
    # Given out once and for all: (kind, worker, handle, incarnation) -> whose it is.
    owners: dict[tuple[str, int, int, int], Any] = field(default_factory=dict)
    ssrcs: dict[TransportId, dict[int, Any]] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    pairs: dict[tuple[int, int], tuple[int | None, str | None]] = field(default_factory=dict)

    def step(self, action: str, who: int, other: int, size: int) -> None:
        person = self.here.get(who)
        if action == "join":
            self._join(who, size)
        elif person is None:
            return
        elif action == "arrive":
            self._arrive(who, person)
        elif action == "vanish":
            assert person.transport is not None
            self.where.handle(ConsentExpired(person.transport))
            del self.here[who]
        elif action == "hang up":
            content = {"call_id": person.call_id, "party_id": person.device_id, "version": "1"}
            self.where.matrix(names.HANGUP, content, person.user_id)
            del self.here[who]
        elif action == "media":
            self._media(person, other, size)
        elif action == "close channel" and self.stage[who] == 2:
            assert person.transport is not None
            self.where.handle(ChannelClosed(person.transport))
            self.stage[who] = 3
        elif self.stage[who] == 2:
            self._say(action, who, person, other, size)
        self.where.pass_time(0.7)
        for index, each in list(self.here.items()):
            if each.hung_up is not None:
                del self.here[index]  # never arrived in time

    def _join(self, who: int, size: int) -> None:
        self.calls += 1
        user_id = CREATOR if who == 0 else f"@person{who}:example.org"
        person = Person(self.where, user_id, "DEVICE", f"call{self.calls}")
        shape = {"pairs": size, "sources": ["audio", "camera"], "loudest": size % 3}
        person.call(sdp=offer(**shape))
        older = self.here.get(who)
        if person.transport is not None:
            self.here[who], self.offered[who], self.stage[who] = person, shape, 0
            if older is not None:
                assert older.hung_up is not None
        elif older is not None:
            assert older.hung_up is None  # a call that finds no room costs nobody the place they have

    def _arrive(self, who: int, person: Person) -> None:
        assert person.transport is not None
        if self.stage[who] == 0:
            self.where.handle(TransportConnected(person.transport))
            self.where.handle(HandshakeDone(person.transport, KEYS))
            self.stage[who] = 1
        elif self.stage[who] in (1, 3):
            first = self.stage[who] == 1
            self.where.handle(ChannelOpened(person.transport))
            self.stage[who] = 2
            if first:
                self.numbers.append(person.number)

    def _media(self, person: Person, other: int, size: int) -> None:
        """Something the worker tells; now and then of rows that are gone."""
        transport = person.transport
        assert transport is not None
        sources, sinks = self.where.tables[0].sources, self.where.tables[0].sinks
        source = sorted(sources)[(size + other) % len(sources)] if other % 5 else 77
        own = [handle for handle, row in sources.items() if row.transport == transport.handle]
        slots = [handle for handle, row in sinks.items() if row.transport == transport.handle]
        sink = sorted(slots)[-1 - other % len(slots)] if slots and size % 5 else 777
        mine = sorted(own)[size % len(own)] if own else 77
        events: list[Event] = [
            Speaking(transport, mine, other % 2 == 0),
            Dominant(transport, mine),
            SinkSwitched(transport, sink, None if other == 1 else source),
            SinkDeal(transport, sink, None if other % 3 else size % 3, other % 3),
            SendTarget(transport, mine, size % 3, other % 2 == 0, 100_000 * other, 100 + 50 * size, 5 * size),
            ViewersLose(transport, mine, other, 3 * size, size),
        ]
        self.where.handle(events[(size * 7 + other) % len(events)])

    def _say(self, action: str, who: int, person: Person, other: int, size: int) -> None:
        source = names.SOURCES[size % 4]
        known = sorted(person.roster)
        target = {"stream_id": str(known[other % len(known)]), "track_id": source}
        if action == "look":
            wish = target | {
                "height": (90, 300, 720, 0)[size % 4],
                "priority": size % 2,
                "focus": other % 2 == 0,
            }
            person.say(names.TRACK_SUBSCRIPTION, {"subscribe": [wish]})
        elif action == "look away":
            person.say(names.TRACK_SUBSCRIPTION, {"unsubscribe": [target]})
        elif action == "mute":
            muted = {"audio_muted": size % 2 == 0, "video_muted": size % 3 == 0}
            person.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata(**muted)})
        elif action == "negotiate":
            shape = self.offered[who] | {"pairs": max(self.offered[who]["pairs"], size)}
            if other < 3:
                shape |= {
                    "sources": ["audio", "camera", "screen"],
                    "inactive": ["screen"] if size % 2 else [],
                }
            elif "screen" in shape["sources"]:
                shape |= {"inactive": ["screen"]}
            content = {
                "description": {"type": "offer", "sdp": offer(**shape)},
                "sdp_stream_metadata": metadata(),
            }
            person.say(names.NEGOTIATE, content)
            answer = person.last(names.NEGOTIATE)
            assert answer is not None
            if "description" in answer:
                self.offered[who] = shape

    def check(self) -> None:
        for who, person in self.here.items():
            said = len(person.said)
            assert self.stage[who] == 2 or self.heard.get(person.call_id, said) == said
            self.heard[person.call_id] = said
        self._check_rows()
        self._check_given_out()
        self._check_told()
        self._check_slots()

    def _check_rows(self) -> None:
        """What the fast path relies on."""
        if not self.where.tables:
            return
        table = self.where.tables[0]
        for (conference,) in (
            [tuple(self.where.focus.conferences.values())] if self.where.focus.conferences else []
        ):
            assert compile_routes(conference.members, 1, Rates()).get(0, Routes()) == table
            views = {each: see(viewer, conference.members) for each, viewer in conference.members.items()}
            for number, member in conference.members.items():
                others = [
                    (viewer, views[each]) for each, viewer in conference.members.items() if each != number
                ]
                assert set(member.sending.viewed) == _wanted(member, others)
        for handle, row in table.sources.items():
            transport = table.transports[row.transport]
            assert transport.incarnation == row.transport_incarnation
            assert handle in transport.sources
        for row in table.sinks.values():
            transport = table.transports[row.transport]
            assert transport.incarnation == row.transport_incarnation
            if row.source != NONE:
                source = table.sources[row.source]
                assert source.incarnation == row.source_incarnation
                assert source.transport != row.transport
                assert source.kind == row.kind
                assert transport.keys is not None
                assert table.transports[source.transport].keys is not None
                assert row.max_encoding < max(1, len(source.rids))
        assert len(table.transports) <= ROWS[0]

    def _check_given_out(self) -> None:
        """Incarnations, SSRCs and numbers are never given twice."""
        for row in self.where.tables[0].transports.items() if self.where.tables else ():
            handle, transport = row
            whose = transport.ice[-1].local_pwd if len(transport.ice) == 1 else None
            key = ("transport", 0, handle, transport.incarnation)
            if whose is not None:
                assert self.owners.setdefault(key, whose) == whose
        for handle, sink in self.where.tables[0].sinks.items() if self.where.tables else ():
            transport_id = TransportId(0, sink.transport, sink.transport_incarnation)
            assert self.owners.setdefault(("sink", 0, handle, sink.incarnation), sink.ssrc) == sink.ssrc
            taken = self.ssrcs.setdefault(transport_id, {})
            assert taken.setdefault(sink.ssrc, (handle, sink.incarnation)) == (handle, sink.incarnation)
            assert self.where.tables[0].transports[sink.transport].rtcp_ssrc not in taken
        assert len(self.numbers) == len(set(self.numbers))

    def _check_told(self) -> None:
        """Everybody whose channel is open knows the same people, and the slots say what the table says."""
        seen = {self.here[who].number for who, stage in self.stage.items() if who in self.here and stage >= 2}
        for who, person in self.here.items():
            if self.stage[who] != 2:
                continue
            assert set(person.roster) == seen
            assert person.number in seen
            table = self.where.tables[0]
            assert person.transport is not None
            routed = {
                (table.sources[row.source].member, names.SOURCES[row.kind])
                for row in table.sinks.values()
                if row.transport == person.transport.handle and row.source != NONE
            }
            slots = {mid: who for mid, who in person.slots.items() if who != (None, None)}
            paired = [who for mid, who in slots.items() if not mid.startswith("l")]
            assert set(paired) == {each for each in routed if each[0] in seen}
            assert len(set(paired)) == len(paired)
            for number, source in slots.values():
                assert number in seen - {person.number}
                assert source in person.roster[number]["sources"]
            heard = {number for mid, (number, source) in slots.items() if source == "audio" and mid[0] == "l"}
            on_pairs = {who.member for who in self._member(who).pairs.values() if not who.screen}
            assert not heard & on_pairs
            for content in (said for kind, said in person.said if kind == names.SEND):
                assert all(_is_sound(each) for each in content["sources"].values())
            for told in person.layers.values():
                assert told[0] in (None, "t", "m", "f")

    def _member(self, who: int) -> Member:
        transport = self.here[who].transport
        assert transport is not None
        return self.where.focus._by_transport[transport][1]

    def _check_slots(self) -> None:
        """Who has a pair keeps it; a pair is free only when nobody waits for it."""
        for conference in self.where.focus.conferences.values():
            for number, member in conference.members.items():
                others = {each.number for each in conference.members.values() if each is not member}
                secured = {each for each in others if conference.members[each].call.secured}
                people = [who.member for who in member.pairs.values() if not who.screen]
                assert len(people) == len(set(people))
                assert set(people) <= secured
                if len(member.pairs) < len(member.pair_indices):
                    assert set(people) == secured
                for pair, who in member.pairs.items():
                    before = self.pairs.get((number, pair))
                    if (
                        before is not None
                        and before[0] in secured
                        and not who.screen
                        and before[1] == "person"
                    ):
                        # Only whoever took the floor may have come in between.
                        assert who.member in (before[0], conference.speakers.dominant)
                for handle in member.heard:
                    assert handle in {sink.row.handle for sink in member.transport.sinks.values()}
                for pair in range(8):
                    now = member.pairs.get(pair)
                    kind = None if now is None else ("screen" if now.screen else "person")
                    self.pairs[number, pair] = (None if now is None else now.member, kind)


ACTIONS = (
    "join join arrive arrive arrive vanish hang_up close_channel "
    "look look look look_away look_away mute mute negotiate negotiate media media media media media"
)
STEPS = st.tuples(
    st.sampled_from([action.replace("_", " ") for action in ACTIONS.split()]),
    st.integers(0, PEOPLE - 1),
    st.integers(0, PEOPLE - 1),
    st.integers(1, 6),
)


def _wanted(sender: Member, viewers: list[tuple[Member, View]]) -> set[tuple[str, str]]:
    """Worked out in the plain way: the lowest encoding if anybody may see it, others if a slot shows them."""
    wanted = {encoding for _, view in viewers for who, encoding in view.wanted if who == sender.number}
    for source, section in sender.transport.senders.items():
        wishes = [viewer.wishes.of((sender.number, source)) for viewer, _ in viewers]
        if section.kind == "video" and any(wish is not None and not wish.hidden for wish in wishes):
            wanted.add((source, encoding_names(section)[0]))
    return wanted


def _is_sound(said: dict[str, Any]) -> bool:
    """One source of P.send, as docs/protocol.md 4.1 has it."""
    return all(
        each == {"active": False}
        or (
            each["active"] is True and each["max_bitrate"] > 0 and each.get("scale_resolution_down_by", 2) > 1
        )
        for name, each in said["encodings"].items()
        if name in names.RIDS
    )


@settings(max_examples=120, deadline=None)
@given(st.lists(STEPS, min_size=25, max_size=50))
def test_any_course_of_a_conference(steps: list[tuple[str, int, int, int]]) -> None:
    model = Model()
    # Three are there from the start, so that short courses mean something too.
    for who in range(3):
        for action in ("join", "arrive", "arrive"):
            model.step(action, who, 0, 2)
            model.check()
    for step in steps:
        model.step(*step)
        model.check()


@settings(max_examples=50, deadline=None)
@given(st.lists(STEPS, max_size=25), st.lists(STEPS, max_size=25))
def test_a_difference_leads_from_any_table_to_any_other(
    first: list[tuple[str, int, int, int]], second: list[tuple[str, int, int, int]]
) -> None:
    tables = []
    for steps in (first, second):
        model = Model()
        for who in range(2):
            for action in ("join", "arrive", "arrive"):
                model.step(action, who, 0, 2)
        for step in steps:
            model.step(*step)
        tables.append(model.where.tables[0])
    old, new = tables
    change = diff(0, old, new)
    assert apply(old, change or PublishRoutes(0, {}, {}, {})) == new
    assert diff(0, new, new) is None
