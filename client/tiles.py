"""The sources that we see and hear, as tiles: what is wanted of them, and what keeps them away."""

from collections.abc import Callable, Iterable, Mapping

from client.happenings import Happening, LayerChanged, TileChanged
from client.keylink import KeyLink
from client.keys.frames import Verdict
from client.protocol import limits, messages, names
from client.statistics import Statistics, Tile

Track = tuple[int, str]  # member and source


class Tiles:
    """Of one membership. `say` takes messages to the focus, `tell` what happens."""

    def __init__(
        self, statistics: Statistics, say: Callable[[str], None], tell: Callable[[Happening], None]
    ) -> None:
        self._statistics, self._say, self._tell = statistics, say, tell
        self.slots: Mapping[str, messages.Slot] = {}
        self.layers: dict[str, messages.Layer] = {}  # by mid
        self.sealed_layers: dict[Track, messages.Layer] = {}
        self._sealed: set[Track] = set()
        self._hidden: set[Track] = set()  # what we asked not to be sent

    def reset(self) -> None:
        """Nothing said before holds."""
        self.slots, self.layers, self.sealed_layers, self._sealed = {}, {}, {}, set()

    # --- what the focus says ---

    def mapped(self, told: messages.Slots) -> None:
        self.slots = {slot.mid: slot for slot in told.slots}

    def assigned(self, told: messages.Sealed) -> None:
        self._sealed = {(each.member, each.source) for each in told.sources}
        self.sealed_layers = {
            track: layer for track, layer in self.sealed_layers.items() if track in self._sealed
        }

    def layers_told(self, told: messages.Layers) -> None:
        for mid, layer in told.slots.items():
            slot = self.slots.get(mid)
            if slot is None:
                continue
            self.layers[mid] = layer
            if slot.member is not None and slot.source is not None:
                self._tell(LayerChanged(slot.member, slot.source, layer.encoding, layer.temporal))
        for track, layer in told.sealed:
            if track in self._sealed:
                self.sealed_layers[track] = layer
                self._tell(LayerChanged(*track, layer.encoding, layer.temporal))

    # --- what we say ---

    def subscribe(self, wanted: Iterable[messages.Subscription], without: Iterable[Track]) -> None:
        wanted, without = tuple(wanted), tuple(without)
        self._hidden -= {(each.member, each.source) for each in wanted}
        self._hidden |= {(each.member, each.source) for each in wanted if each.height == 0} | set(without)
        self._say(messages.subscription(wanted, without))

    def ask_for_keys(self, keys: KeyLink, members: Mapping[int, messages.Member]) -> None:
        for tile in self._statistics.tiles.values():
            if tile.state == Verdict.KEY_MISSING and tile.member in members:
                asked = keys.ask_for(tile.member, tile.source, tile.epoch, tile.state_since)
                if asked:
                    self._say(messages.missing_key(tile.member, names.SOURCES[tile.source]))

    # --- what is shown ---

    def changed(self, tile: Tile) -> None:
        if tile.state is not None:
            self._tell(TileChanged(tile.member, names.SOURCES[tile.source], tile.state.value))

    def find_stalled(self, members: Mapping[int, messages.Member], now: float) -> None:
        """A focus may hold back what it likes, but not without our saying so."""
        shown = {(slot.member, slot.source): self.layers.get(slot.mid) for slot in self.slots.values()}
        shown |= {track: self.sealed_layers.get(track) for track in self._sealed}
        for tile in self._statistics.tiles.values():
            if tile.state != Verdict.OPENED or now - tile.last_at < limits.STALL_S:
                continue
            track = tile.member, names.SOURCES[tile.source]
            member = members.get(tile.member)
            if member is None or track not in shown or track in self._hidden:
                continue
            layer = shown[track]
            paused = layer is not None and layer.encoding is None
            if not paused and not member.mutes(track[1]):
                tile.state, tile.state_since = Verdict.STALLED, now
                self.changed(tile)
