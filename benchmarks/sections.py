"""The parts of a benchmark run; each adds its figures. What is compared takes turns within one repetition."""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks import bare, workloads
from benchmarks.figures import Figures
from benchmarks.network import Network
from benchmarks.plan import Encoding, Plan
from benchmarks.server import ROOT, Run, measure
from benchmarks.workloads import Workload, make, sized_for


@dataclass
class Bench:
    network: Network
    figures: Figures
    repeat: int
    warm_s: float
    measure_s: float
    quick: bool
    brief: bool
    """`bench-quick`, which has 90 s for all."""
    say: Callable[[str], None]
    curves: dict[str, list[tuple[float, float, str]]] = field(default_factory=dict)
    """Points (x, y, label) of the plots."""

    def run(
        self,
        plan: Plan,
        what: str,
        hold_us: int | None = None,
        *,
        packets: bool = False,
        churn_hz: float = 0.0,
        busy_poll_us: int | None = None,
    ) -> Run:
        """Holding as the worker does it by itself, or up to `hold_us`; `packets`: with a packet socket."""
        done = measure(
            self.network,
            plan,
            warm_s=self.warm_s,
            measure_s=self.measure_s,
            hold_us=hold_us,
            packets=packets,
            churn_hz=churn_hz,
            busy_poll_us=busy_poll_us,
        )
        delay = max(done.delay_ms("p99"), done.delay_ms("p99", "audio"))
        self.say(
            f"{what}: {done.us:.2f} us, {done.busy:.0%}, {done.datagrams / done.seconds / 1000:.0f} k/s, run "
            f"{done.mean_run:.1f}, p99 {delay:.2f} ms, delivered {done.delivered:.1%}, lost {done.lost}"
        )
        if done.load["bad_tags"] or done.load["send_errors"]:
            raise RuntimeError(f"{what}: {done.load['bad_tags']} packets did not authenticate")
        return done

    def point(self, curve: str, x: float, y: float, label: str) -> None:
        self.curves.setdefault(curve, []).append((x, y, label))


def at_load(
    bench: Bench, workload: Workload, busy: float, start: float, *, packets: bool = False
) -> tuple[Run, float]:
    """A run that keeps the worker so busy; returns the number of conferences too."""
    conferences, speed = sized_for(workload, start)
    name = workload.name + (", packet socket" if packets else "")
    probe = bench.run(
        make(workload, conferences, speed=speed), f"{name} x{conferences * speed:g}", packets=packets
    )
    wanted = conferences * speed * busy / max(0.02, probe.busy)
    if abs(wanted - conferences * speed) < 0.2 * conferences * speed:
        return probe, conferences * speed
    conferences, speed = sized_for(workload, wanted)
    plan = make(workload, conferences, speed=speed)
    return bench.run(plan, f"{name} x{conferences * speed:.3g}", packets=packets), conferences * speed


def note_delays(figures: Figures, prefix: str, run: Run, kind: str) -> None:
    for percentile in ("p50", "p99", "p999"):
        figures.add(f"{prefix}delay_{percentile}_ms", run.delay_ms(percentile, kind), "ms")


def fanout(bench: Bench) -> None:
    """1 -> 100 video beside the limit and the naive loop, with and without a device that segments."""
    figures, start = bench.figures, 19.0
    for _ in range(bench.repeat):
        bench.network.device_segments(True)
        half, start = at_load(bench, workloads.FANOUT, 0.5, start)
        # As many receivers: their keys and routes have to come from memory there, too.
        audience, bursts = 100 * sized_for(workloads.FANOUT, start)[0], 30.0
        limit = bare.measure(bench.network, "gso", receivers=audience, bursts=bursts)
        naive = bare.measure(bench.network, "single", receivers=audience // 2, bursts=bursts)
        bench.say(f"limit {limit.us:.2f} us at {limit.busy:.0%}, naive {naive.us:.2f} us at {naive.busy:.0%}")
        figures.add(
            "fanout_video_us", half.us, "us/packet", note=f"run {half.mean_run:.1f}, {half.busy:.0%} busy"
        )
        figures.add("limit_us", limit.us, "us/packet")
        figures.add("naive_us", naive.us, "us/packet")
        figures.add("fanout_video_over_limit", half.us / limit.us, "times")
        figures.add("vs_naive", naive.us / half.us, "times", "higher")
        figures.add("fanout_video_run", half.mean_run, "packets", "higher")
        note_delays(figures, "", half, "video")
        figures.add("loss_below_saturation", half.lost / max(1, half.packets) * 100, "percent")
        without = bench.run(
            make(workloads.FANOUT, sized_for(workloads.FANOUT, start)[0], adaptation=False), "no adaptation"
        )
        figures.add(
            "fanout_video_no_adaptation_us", without.us, "us/packet", note="transport-wide feedback off"
        )
        figures.add("adaptation_cost_us", half.us - without.us, "us/packet")
        if not bench.quick:
            past = bench.run(
                make(workloads.FANOUT, sized_for(workloads.FANOUT, start)[0]), "packet socket", packets=True
            )
            figures.add("fanout_video_packet_socket_us", past.us, "us/packet", note=f"{past.busy:.0%} busy")
        bench.network.device_segments(False)
        cut = bench.run(make(workloads.FANOUT, max(1, round(start / 2))), "the kernel cuts")
        figures.add("fanout_video_us_kernel_cuts", cut.us, "us/packet")
        if not bench.quick:
            limit_cut = bare.measure(bench.network, "gso", receivers=audience // 2, bursts=bursts)
            naive_cut = bare.measure(bench.network, "single", receivers=audience // 2, bursts=bursts)
            figures.add("fanout_video_over_limit_kernel_cuts", cut.us / limit_cut.us, "times")
            figures.add("vs_naive_kernel_cuts", naive_cut.us / cut.us, "times", "higher")
        bench.network.device_segments(True)
    for name in ("fanout_video_us", "fanout_video_us_kernel_cuts", "limit_us", "naive_us"):
        bench.point("systems", 0, figures.value(name) or 0, name.removesuffix("_us"))


def saturated(bench: Bench) -> None:
    """More and more of the same until the worker is full: delay, loss and cost by load."""
    bench.network.device_segments(True)
    start = 8.0
    for busy in (0.9,) if bench.quick else (0.1, 0.5, 0.75, 0.9, 1.3):
        run, start = at_load(bench, workloads.FANOUT, busy, start)
        for percentile in ("p50", "p99", "p999"):
            bench.point("delay", run.busy * 100, run.delay_ms(percentile), percentile)
        bench.point("cost", run.busy * 100, run.us, "fanout_video")
        if busy == 0.9:
            bench.figures.add("fanout_video_us_90", run.us, "us/packet", note=f"{run.busy:.0%} busy")
            bench.figures.add("delay_p99_saturated_ms", run.delay_ms("p99"), "ms")
            bench.figures.add("packets_per_s_90", run.datagrams / run.seconds, "packets/s", "higher")
        if busy > 1:
            bench.figures.add("overload_delivered_percent", run.delivered * 100, "percent", "higher")
    overload(bench)


def overload(bench: Bench) -> None:
    """Meetings of 20, a third more than the worker can carry: what is dropped is pictures."""
    run = bench.run(make(workloads.MEETING_20, 16), "meeting_20, too many")
    load = run.load
    for kind in ("audio", "video"):
        due = load[f"{kind}_due"]
        bench.figures.add(
            f"overload_{kind}_delivered_percent",
            100 * load[f"{kind}_packets"] / due if due else 100.0,
            "percent",
            "higher",
            note=f"meetings of 20, {run.busy:.0%} busy",
        )
    # Not of pictures: where a slot's numbers closed up, their delays are not known.
    bench.figures.add("overload_audio_delay_p99_ms", run.delay_ms("p99", "audio"), "ms")


STARTS = {"fanout_paced": 4.5, "audio_room": 2.5, "meeting_20": 5.0, "meeting_50": 1.0}
"""Conferences that keep a worker of this class half busy."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What a bare loop sends to stand beside a workload: bursts to so many receivers each."""

    receivers: int
    bursts: float
    """A second, for one conference."""
    packets: tuple[int, ...]
    sizes: tuple[int, ...]


MICROPHONE = 80 + 44
"""Bytes of a packet as it leaves: header and tag."""
FLOORS = {
    "fanout_paced": Floor(100, 240.0, (1,), (1112,)),
    "audio_room": Floor(300, 150.0, (1,), (MICROPHONE,)),
    # Of 36 bursts 28 are sound, 7 a thumbnail's frame (of one or two packets), one a full resolution's.
    "meeting_20": Floor(
        19,
        20 * (50.0 + 15.0 + 30.0 / 19),
        (*(1,) * 7, 2, 1, *(1,) * 7, 1, 2, *(1,) * 7, 2, 1, *(1,) * 7, 1, 5),
        (
            *(MICROPHONE,) * 7, 760, 960, *(MICROPHONE,) * 7, 960, 760,
            *(MICROPHONE,) * 7, 760, 960, *(MICROPHONE,) * 7, 960, 1084,
        ),
    ),
}  # fmt: skip
"""The messages that a workload is made of when nothing is gathered."""


def floor(bench: Bench, name: str, run: Run, conferences: float, *, packets: bool = False) -> None:
    """A bare loop's cost for the same messages at the same rate, and how many times of it ours is."""
    like, suffix = FLOORS[name], "_packet_socket" if packets else ""
    bare_run = bare.measure(
        bench.network,
        "packet" if packets else "gso",
        receivers=like.receivers,
        packets=like.packets,
        size=like.sizes,
        bursts=like.bursts * conferences,
        seconds=1.0,
        raw=packets,
    )
    bench.say(f"{name}{suffix}, bare loop: {bare_run.us:.2f} us, {bare_run.busy:.0%}")
    note = f"{bare_run.busy:.0%} busy, runs of {sum(like.packets) / len(like.packets):.1f}"
    bench.figures.add(f"{name}{suffix}_limit_us", bare_run.us, "us/packet", note=note)
    bench.figures.add(f"{name}{suffix}_over_limit", run.us / bare_run.us, "times")


def rooms(bench: Bench) -> None:
    """Packets evenly spaced, many listeners, meetings: half busy, nearly full, with a packet socket too."""
    figures, start = bench.figures, dict(STARTS)
    every = workloads.ALL[1:-1] if bench.quick else workloads.ALL[1:]
    bench.network.device_segments(True)
    for workload in every:
        name = workload.name
        for _ in range(bench.repeat):
            if bench.quick:
                conferences, speed = sized_for(workload, start[name])
                run = bench.run(make(workload, conferences, speed=speed), name)
            else:
                run, start[name] = at_load(bench, workload, 0.5, start[name])
            note = f"run {run.mean_run:.1f}, {run.busy:.0%} busy"
            figures.add(f"{name}_us", run.us, "us/packet", note=note)
            note_delays(figures, f"{name}_", run, workload.kind)
            if name in FLOORS:
                floor(bench, name, run, start[name])
            if bench.brief:
                continue
            past = bench.run(
                make(workload, *sized_for(workload, start[name])[:1]), f"{name}, packet socket", packets=True
            )
            figures.add(f"{name}_packet_socket_us", past.us, "us/packet", note=f"{past.busy:.0%} busy")
            if name in FLOORS:
                floor(bench, name, past, start[name], packets=True)
        bench.point("systems", 0, figures.value(f"{name}_us") or 0, name)
        past_us = figures.value(f"{name}_packet_socket_us")
        if past_us is not None:
            bench.point("systems", 0, past_us, f"{name}, packet socket")
        if bench.quick:
            continue
        for packets in (False, True):
            full, _ = at_load(bench, workload, 0.9, start[name] * (2.6 if packets else 1.9), packets=packets)
            suffix = "_packet_socket" if packets else ""
            note = f"run {full.mean_run:.1f}, {full.busy:.0%} busy, lost {full.lost}"
            figures.add(f"{name}{suffix}_us_90", full.us, "us/packet", note=note)
            figures.add(f"{name}{suffix}_delay_p99_ms_90", full.delay_ms("p99", workload.kind), "ms")
    bench.network.device_segments(False)
    for workload in () if bench.quick else every:
        conferences, speed = sized_for(workload, start[workload.name] / 2)
        run = bench.run(make(workload, conferences, speed=speed), f"{workload.name}, the kernel cuts")
        figures.add(f"{workload.name}_us_kernel_cuts", run.us, "us/packet", note=f"{run.busy:.0%} busy")
    bench.network.device_segments(True)


def holding(bench: Bench) -> None:
    """What gathering costs in delay and gains in CPU, on a worker that is three quarters busy."""
    bench.network.device_segments(True)
    _, start = at_load(bench, workloads.MEETING_20, 0.75, 7.5)
    conferences, speed = sized_for(workloads.MEETING_20, start)
    for hold_us in (0, 1000, 3000, 5000):
        run = bench.run(make(workloads.MEETING_20, conferences, speed=speed), f"held {hold_us} us", hold_us)
        bench.figures.add(
            f"held_{hold_us}_us_per_packet", run.us, "us/packet", note=f"run {run.mean_run:.1f}"
        )
        bench.figures.add(f"held_{hold_us}_delay_p99_ms", run.delay_ms("p99", "audio"), "ms")
        bench.point("holding", hold_us / 1000, run.us, "us of CPU a packet")
        bench.point("holding", hold_us / 1000, run.delay_ms("p99", "audio"), "delay p99 of audio, ms")


def busy_polling(bench: Bench) -> None:
    """What a worker that looks instead of sleeping gains in delay and costs in CPU; at low load, where every
    packet wakes it."""
    bench.network.device_segments(True)
    for name, workload, many in (
        ("meeting_20", workloads.MEETING_20, 1),
        ("fanout_video", workloads.FANOUT, 2),
    ):
        for spin_us in (0, 200, 5000):
            run = bench.run(make(workload, many), f"{name}, looks for {spin_us} us", busy_poll_us=spin_us)
            kind = "audio" if workload is workloads.MEETING_20 else "video"
            note = f"{run.busy:.0%} busy"
            for percentile in ("p50", "p99"):
                bench.figures.add(
                    f"busy_poll_{spin_us}_{name}_delay_{percentile}_ms",
                    run.delay_ms(percentile, kind),
                    "ms",
                    note=note,
                )
            bench.figures.add(f"busy_poll_{spin_us}_{name}_cores", run.busy, "cores")


def uneven(bench: Bench) -> None:
    """Frames as packetisers cut them, one byte apart; what packet sockets would give instead of UDP's."""
    bench.network.device_segments(True)
    plan = Plan()
    for conference in range(4):
        sender = plan.member(conference)
        camera = plan.video(sender, Encoding(frame_bytes=8 * 1060 + 5, payload_max=1072, vary_percent=1))
        for _ in range(100):
            plan.watch(plan.member(conference), camera)
    run = bench.run(plan, "packets one byte apart")
    bench.figures.add("fanout_uneven_us", run.us, "us/packet", note=f"run {run.mean_run:.1f}")
    for packets in (8, 2, 1):
        bursts = 960 / packets
        udp = bare.measure(bench.network, "gso", packets=packets, bursts=bursts)
        raw = bare.measure(bench.network, "packet", packets=packets, bursts=bursts, raw=True)
        bench.figures.add(f"limit_runs_of_{packets}_us", udp.us, "us/packet")
        bench.figures.add(f"limit_raw_runs_of_{packets}_us", raw.us, "us/packet", note="packet socket")


def receivers(bench: Bench) -> None:
    """One camera to ever more receivers."""
    bench.network.device_segments(True)
    counts = (10, 100, 1000, 2000) if not bench.quick else (10, 1000)
    costs = []
    for count in counts:
        workload = Workload(f"receivers_{count}", count + 1, workloads.fanout(count))
        run = bench.run(make(workload, max(1, 1000 // count)), f"1 -> {count}")
        bench.figures.add(f"receivers_{count}_us", run.us, "us/packet", note=f"run {run.mean_run:.1f}")
        bench.point("receivers", count, run.us, "cost")
        bench.point("throughput", count, run.datagrams / run.seconds / run.busy, "packets a second of CPU")
        costs.append(run.us)
    bench.figures.add("receivers_flat_percent", (max(costs) / min(costs) - 1) * 100, "percent")
    flat_floor(bench, counts)


def flat_floor(bench: Bench, counts: tuple[int, ...]) -> None:
    """Of ten packets sent to ten receivers one was received: how flat bare loops alone would be, those that
    wake as often as the worker does and those that hardly wake."""
    frames = 30.0 * 1000 / counts[0]  # as many as come from cameras with so few receivers each
    sending = bare.measure(bench.network, "gso", receivers=1000, bursts=30.0).us
    for name, mode, gather_us in RECEIVING:
        run = bare.receive(bench.network, mode, gather_us=gather_us, bursts=frames)
        note = f"{run.pps / 1000:.0f} k/s, {run.busy:.0%} busy, gathers for {gather_us} us"
        bench.figures.add(f"receive_{name}_us", run.us, "us/packet", note=note)
        few, many = (sending + run.us / count for count in (counts[0], counts[-1]))
        bench.figures.add(
            f"receivers_flat_{name}_percent",
            (few / many - 1) * 100,
            "percent",
            note=f"bare loops: {sending:.2f} us a packet sent, {run.us:.2f} a packet received",
        )


RECEIVING = (("plain", "plain", 150), ("decrypted", "decrypt", 150), ("held", "decrypt", 3000))
"""As the worker gathers (HOLDING_GATHER_NS), without and with decryption; and as a nearly full one holds
(HOLDING_LIMIT_NS), where waking is shared by many packets."""


def giant(bench: Bench) -> None:
    """1 -> 3000 over two workers. Not fewer frames a second: a link that carries little has a low estimate,
    and then pacing cuts frames."""
    bench.network.device_segments(True)
    workload = Workload("giant", 3001, workloads.spread(3000, 2))
    run = bench.run(make(workload, 1, workers=2), "1 -> 3000 over two workers")
    full = run.counters.get("handover_full_dropped", 0)
    bench.figures.add(
        "giant_us",
        run.us,
        "us/packet",
        note=f"run {run.mean_run:.1f}, delivered {run.delivered:.2%}, full {full}",
    )
    bench.figures.add("giant_delay_p99_ms", run.delay_ms("p99"), "ms")
    bench.figures.add(
        "giant_delivered_percent",
        run.delivered * 100,
        "percent",
        "higher",
        note=f"two workers on {min(2, max(1, (os.cpu_count() or 1) - 1))} cores",
    )
    bench.point("receivers", 3000, run.us, "cost")


def workers(bench: Bench) -> None:
    """Twice the work for two workers: what each packet costs then. One conference that both share, and
    conferences of their own."""
    bench.network.device_segments(True)
    for _ in range(bench.repeat):
        single = Workload("alone", 401, workloads.spread(400, 1))
        shared = Workload("shared", 801, workloads.spread(800, 2))
        alone = bench.run(make(single, 1), "1 -> 400, one worker")
        both = bench.run(make(shared, 1, workers=2), "1 -> 800, one conference on two workers")
        bench.figures.add(
            "two_workers_scaling",
            2 * alone.us / both.us,
            "times",
            "higher",
            f"one conference; {both.counters.get('handed_over', 0)} packets handed over",
        )
    one = bench.run(make(workloads.FANOUT, 4), "one worker")
    two = bench.run(make(workloads.FANOUT, 8, workers=2), "two workers")
    bench.figures.add(
        "two_workers_apart_scaling", 2 * one.us / two.us, "times", "higher", "conferences of their own each"
    )
    for count, run in ((1, one), (2, two)):
        bench.point("workers", count, run.us, "cost")


def repairs(bench: Bench) -> None:
    """NACKs under load: every receiver asks again for one packet in fifty."""
    bench.network.device_segments(True)
    runs = []
    for permille in (0, 20):
        plan = Plan(nack_permille=permille)
        for conference in range(12):
            workloads.FANOUT.build(plan, conference, 0, 1.0)
        runs.append(bench.run(plan, f"{permille / 10:g} % asked for again"))
    without, run = runs
    asked, sent = run.load["asked"], run.counters.get("rtx_sent", 0)
    bench.figures.add("nack_us", run.us, "us/packet", note=f"{without.us:.2f} without NACKs")
    bench.figures.add("nack_delay_p99_ms", run.delay_ms("p99"), "ms")
    bench.figures.add(
        "nack_answered_percent",
        100 * sent / asked if asked else 0.0,
        "percent",
        "higher",
        note=f"{asked} asked",
    )


def churn(bench: Bench) -> None:
    """A table that changes 20 times a second under load: who is there stays, one row changes."""
    bench.network.device_segments(True)
    plan = make(workloads.FANOUT, 12)
    run = bench.run(plan, "20 generations a second", churn_hz=20.0)
    bench.figures.add("churn_us", run.us, "us/packet", note=f"{run.busy:.0%} busy, 20 generations a second")
    bench.figures.add("churn_delay_p99_ms", run.delay_ms("p99"), "ms")


def memory(bench: Bench) -> None:
    """Resident memory of a worker with 1000 participants in meetings of 20, packet history left out."""
    few = bench.run(make(workloads.MEETING_20, 1), "20 participants")
    many = bench.run(make(workloads.MEETING_20, 50 if not bench.quick else 20), "1000 participants")
    people = 20 * ((50 if not bench.quick else 20) - 1)
    history = 32 << 10  # KiB: HISTORY_SLAB_BYTES; what the smaller run used of it is not counted
    used = [
        min(history, run.counters.get("rtp_received_bytes", 0) / 1024 * (1 + bench.warm_s / bench.measure_s))
        for run in (few, many)
    ]
    each = (many.memory_kb - used[1] - few.memory_kb + used[0]) / people
    bench.figures.add("kb_per_participant", each, "KiB")


def micro(bench: Bench) -> None:
    """The core without sockets, and how many instructions it takes."""
    text = subprocess.run([ROOT / "build/bench/micro"], check=True, capture_output=True, text=True).stdout
    for name, count, ns in re.findall(r"^(.*?)\s+1 -> (\d+)\s+(\d+) ns", text, re.M):
        key = "micro_" + re.sub(r"[^a-z0-9]+", "_", name.lower()) + f"_{count}_ns"
        bench.figures.add(key, float(ns), "ns/packet")
    instructions(bench)


def instructions(bench: Bench) -> None:
    """1 -> 100 video under callgrind: two lengths, so that the set-up cancels out. It knows no AVX-512."""
    counts = []
    for packets in (80, 400):
        try:
            done = subprocess.run(
                ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                 ROOT / "build/bench/micro", str(packets)],
                check=False, capture_output=True, text=True,
            )  # fmt: skip
        except FileNotFoundError:
            bench.figures.absent("instructions_per_packet", "valgrind is not installed")
            return
        found = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode != 0 or not found:
            bench.figures.absent("instructions_per_packet", "callgrind failed")
            return
        counts.append(int(found[1]))
    bench.figures.add(
        "instructions_per_packet",
        (counts[1] - counts[0]) / (320 * 100),
        "instructions",
        note="callgrind, AVX2",
    )
