"""What must hold after days: each oracle looks at a soak and raises AssertionError. Truth and order were checked on arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.polling.trial import METER_PAUSE_MAX_S
from tests.sim.oracles import TAIL_BYTES_MAX, WAITING_BYTES_MAX

if TYPE_CHECKING:
    from tests.sim.soak import Hour, Soak

DAY_H = 24.0
BLOCKS_MAX = 4000
"""Of the interpreter's memory blocks, more than on the first day. The engine holds five intervals of every meter, each with its runs of
bad readings, and events wait for the history: in a bad hour that is some two thousand more than in a good one (measured: 1979). By line of
the source (tracemalloc, calm hours of the second day against the last of three) nothing of the gateway grows, only what the rig keeps of its looks."""
LOOK_BLOCKS = 25  # that the rig keeps of each look; 22 were measured over six days
RSS_MB_MAX = 4.0  # more than on the first day
SPREAD = 1.5  # a container may hold this much more than it held at most on the first day,
BURST = 40  # and one burst of polls, which may just be on its way
WEIGHED = (
    *(f"Gateway.journal.{name}." for name in ("_open", "_waiting", "_tail")),
    "Gateway.derivation.deriver._work.events",
)
"""What readings and events lie in: held to bytes instead, since what an hour's events say differs from hour to hour.

Events that wait for the history's next commit do so for a minute at most (`gateway.derive.deriver.SAVE_S`)."""
SLACK = 20  # timers and tasks more than on the first day
TOLD = frozenset(
    (
        "channels answer again",
        "channels off",
        "connection broke, open again",
        "counter jump",
        "counter moves",
        "counter reset",
        "counter resolution",
        "counter rollover",
        "counter sentinel",
        "counter stuck",
        "gateway runs",
        "gateway stopped",
        "gateway stops: polling ends, what is journaled is delivered",
        "journal is at its cap; oldest readings dropped",
        "link down",
        "link up",
        "meter answers again",
        "meter off",
        "ratios cannot be read again; those in force stay",
        "sink down; readings wait in the journal",
        "sink up",
        "wall clock stepped; a new epoch begins",
    )
)


def conservation(soak: Soak) -> None:
    """Every poll answered is journaled; every reading journaled is delivered, refused, pending or counted as missed."""
    channels, figures = soak.plan.channels, soak.figures
    journaled = figures["journal"]["readings"]
    assert journaled == soak.ledger.polls * channels == figures["readings"]
    assert figures["journal"]["unstored"] == 0
    for id_ in soak.ledger.sinks:
        sink = figures["sinks"][id_]
        told = sum(sink[key] for key in ("delivered", "refused", "missed", "pending"))
        assert told == journaled, (id_, sink)
        never = soak.ledger.missing(id_) * channels
        assert never <= sink["missed"] + sink["pending"], f"{id_}: {never} readings never arrived, {sink}"


def identity_and_order(soak: Soak) -> None:
    """(epoch, time) of a meter's polls rises strictly; a step of the clock gives a poll another time at most once."""
    moved = 0
    for id_, meter in soak.ledger.meters.items():
        assert meter.rising(), f"{id_}: identities do not rise"
        moved += meter.moved()
    steps = sum(act.kind == "step" for act in soak.plan.acts)
    assert moved <= steps * len(soak.ledger.meters), f"{moved} frames have another time than their poll"


def liveness(soak: Soak) -> None:
    """After the last fault everything is delivered, everything is up and every meter of the site is read again."""
    last, plan = soak.hours[-1], soak.plan
    limit = 2 * plan.meters * plan.channels
    assert all(pending <= limit for pending in last.pending.values()), last.pending
    assert all(link["state"] == "up" for link in soak.figures["links"].values())
    assert all(meter["state"] == "on" for meter in soak.figures["meters"].values())
    newest = {meter: at_s for link in soak.links.values() for meter, at_s in link.newest_s.items()}
    for meter in soak.ledger.meters:
        assert newest[meter] >= plan.until_s - METER_PAUSE_MAX_S - plan.period_s, meter


def quiet_logs(soak: Soak) -> None:
    """What goes down is told once, and once that it is back; nothing else is told but what was done to the plant."""
    assert not soak.logs.twice, soak.logs.twice[:5]
    assert set(soak.logs.counts) <= TOLD, set(soak.logs.counts) - TOLD
    assert not soak.figures["crashes"]


def bounded(
    hours: list[Hour], size_max: int, *, settled_h: float = DAY_H, blocks_max: int = BLOCKS_MAX
) -> None:
    """After `settled_h` hours nothing grows: resident memory, the interpreter's blocks, any container of the gateway."""
    first = [hour for hour in hours if hour.at_s <= settled_h * 3600 + 60]
    later = hours[len(first) :]
    assert first
    assert later, "nothing to compare with"
    for hour in hours:
        assert hour.waiting_bytes <= WAITING_BYTES_MAX, hour.at_s
        assert hour.tail_bytes <= TAIL_BYTES_MAX, hour.at_s
        assert hour.used_bytes <= size_max, hour.at_s
    at_most = most_of(first)
    for path, held in most_of(later).items():
        before = at_most.get(path, 0)
        if path.startswith(WEIGHED):
            continue
        assert held <= before * SPREAD + BURST, f"{path}: {before} at most on the first day, {held} later"
    for kind, more, limit in growth(first, later, blocks_max):
        assert more <= limit, f"{kind}: {more:g} more than on the first day ({limit:g} allowed)"


def most_of(hours: list[Hour]) -> dict[str, int]:
    """Return the most of each container."""
    most: dict[str, int] = {}
    for hour in hours:
        for path, held in hour.sizes.items():
            most[path] = max(most.get(path, 0), held)
    return most


def growth(first: list[Hour], later: list[Hour], blocks_max: int) -> list[tuple[str, float, float]]:
    """Return (what, how much more of it later than first, how much more is allowed), most against most.

    Blocks are compared while the journal's tail is empty: as many bytes of events take thousands more than of frames.
    """
    calm, later_calm = ([hour.blocks for hour in hours if not hour.tail_bytes] for hours in (first, later))
    assert calm
    assert later_calm, "no moment without readings that wait"
    kept = LOOK_BLOCKS * len(first + later)
    return [
        ("rss_mb", max(h.rss_mb for h in later) - max(h.rss_mb for h in first), RSS_MB_MAX),
        ("blocks", max(later_calm) - max(calm), blocks_max + kept),
        ("timers", max(h.timers for h in later) - max(h.timers for h in first), SLACK),
        ("tasks", max(h.tasks for h in later) - max(h.tasks for h in first), SLACK),
    ]


def hold(soak: Soak, *, settled_h: float = DAY_H) -> None:
    """Ask every oracle. settled_h: what memory is compared with."""
    for oracle in (conservation, identity_and_order, liveness, quiet_logs):
        oracle(soak)
    bounded(soak.hours, soak.plan.size_max, settled_h=settled_h)
