"""What is measured: conferences of given shapes, repeated until the worker is as busy as asked."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.plan import Encoding, Member, Plan, Source

THUMBNAIL = Encoding("t", 1250, 15.0, 1060, vary_percent=30)
"""150 kbit/s: one or two packets a frame."""
FULL = Encoding("f", 5200, 30.0, 1060, vary_percent=30)
"""1.25 Mbit/s: four to seven packets a frame, one byte apart as packetisers cut them."""
MOST_MEMBERS = 2000
"""Of one worker: fastpath/limits.h holds 2048."""


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    members: int
    """Of one conference."""
    build: Callable[[Plan, int, int, float], None]
    """(plan, conference, worker, frames a second compared to nominal)"""
    kind: str = "video"
    """Whose delays are looked at."""


def fanout(receivers: int, *, spread: bool = False) -> Callable[[Plan, int, int, float], None]:
    def build(plan: Plan, conference: int, worker: int, speed: float) -> None:
        sender = plan.member(conference, worker)
        camera = plan.video(sender, Encoding(fps=30.0 * speed, spread=spread))
        for _ in range(receivers):
            plan.watch(plan.member(conference, worker), camera)

    return build


def spread(receivers: int, workers: int) -> Callable[[Plan, int, int, float], None]:
    """One camera at the first worker, its receivers on all of them."""

    def build(plan: Plan, conference: int, _worker: int, speed: float) -> None:
        camera = plan.video(plan.member(conference), Encoding(fps=30.0 * speed))
        for n in range(receivers):
            plan.watch(plan.member(conference, n % workers), camera)

    return build


def audio_room(plan: Plan, conference: int, worker: int, speed: float) -> None:
    speakers = [plan.member(conference, worker) for _ in range(3)]
    microphones = [plan.audio(one) for one in speakers]
    for _ in range(300):
        receiver = plan.member(conference, worker)
        for microphone in microphones:
            plan.watch(receiver, microphone)


def meeting(count: int) -> Callable[[Plan, int, int, float], None]:
    """Everyone hears all others, sees all their thumbnails and one of them, the next in line, in full."""

    def build(plan: Plan, conference: int, worker: int, speed: float) -> None:
        everyone: list[tuple[Member, Source, Source]] = []
        for _ in range(count):
            one = plan.member(conference, worker)
            everyone.append((one, plan.audio(one), plan.video(one, THUMBNAIL, FULL)))
        for n, (receiver, _, _) in enumerate(everyone):
            for m, (_, microphone, camera) in enumerate(everyone):
                if m == n:
                    continue
                focus = m == (n + 1) % count
                plan.watch(receiver, microphone)
                plan.watch(receiver, camera, 1 if focus else 0, focus=focus)

    return build


FANOUT = Workload("fanout_video", 101, fanout(100))
PACED = Workload("fanout_paced", 101, fanout(100, spread=True))
AUDIO = Workload("audio_room", 303, audio_room, "audio")
MEETING_20 = Workload("meeting_20", 20, meeting(20))
MEETING_50 = Workload("meeting_50", 50, meeting(50))
ALL = (FANOUT, PACED, AUDIO, MEETING_20, MEETING_50)


def make(
    workload: Workload, conferences: int, *, speed: float = 1.0, workers: int = 1, adaptation: bool = True
) -> Plan:
    plan = Plan(workers=workers, adaptation=adaptation)
    for n in range(conferences):
        workload.build(plan, n, n % workers, speed)
    return plan


def sized_for(workload: Workload, conferences: float) -> tuple[int, float]:
    """(conferences, speed) for so much load: more conferences first, then faster frames."""
    most = max(1, MOST_MEMBERS // workload.members)
    whole = max(1, min(most, round(conferences)))
    return whole, max(1.0, conferences / whole) if workload.kind == "video" and conferences > most else 1.0
