"""What is held back of overruns when the clock steps or a connection breaks: no due time is left without an explanation."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.intervals.expected import Expectation
from gateway.model import NS, Event, Frame, Gap
from simulators.fakes import Trouble
from tests.sim.plant import START_NS, Act, Plan, play
from tests.unit.journal_rig import records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LATE_NS = 600 * NS  # after the end: nothing is "not told yet" any more


def fed(journaled: Sequence[Frame | Event | Gap]) -> Expectation:
    expectation = Expectation()
    for record in journaled:
        if isinstance(record, Frame):
            layout = record.layout
            expectation.frame(layout.meter, layout.period_s, record.epoch, record.time_ns)
        else:
            expectation.note(record)
    return expectation


def resorts(journaled: Sequence[Frame | Event | Gap]) -> Iterator[tuple[str, int, float]]:
    """Yield (meter, epoch, due time after the start) of what nothing explains."""
    expectation = fed(journaled)
    last_ns = journaled[-1].time_ns
    for span in expectation.epochs():
        end_ns = last_ns if span.end_ns is None else span.end_ns
        for meter in expectation.meters():
            accounts = expectation.account(meter, span.epoch, span.start_ns, end_ns, last_ns + LATE_NS)
            for due_ns in [due_ns for account in accounts.values() for due_ns in account.due]:
                before = expectation.last_resorts
                expectation.account(meter, span.epoch, due_ns, due_ns + 1, last_ns + LATE_NS)
                if expectation.last_resorts > before:
                    yield meter, span.epoch, (due_ns - START_NS) / NS


def busy(share: float, acts: Sequence[Act], *more: Trouble) -> Plan:
    """Return a link of four meters that cannot keep up with a period of a second."""
    troubles = [Trouble("slow", 20, delay_s=0.4, share=share), *more]
    return Plan(
        500,
        meters=4,
        channels=1,
        links=1,
        period_s=1,
        link_troubles={"link-1": troubles},
        sink_troubles={},
        acts=acts,
    )


@pytest.mark.parametrize("step_s", [600.0, -100.0, 5.0])
def test_what_was_held_back_when_the_clock_stepped_is_told_by_the_clock_as_it_was(
    tmp_path: Path, step_s: float
) -> None:
    acts = [
        Act(111.7, "step", step_s=step_s),
        Act(223.3, "step", step_s=-step_s),
        Act(340.02, "step", step_s=step_s),
    ]
    play(busy(1, acts), tmp_path)
    journaled = records(tmp_path)
    assert list(resorts(journaled)) == []
    begin_ns, overruns = START_NS, 0
    for record in journaled:
        if not isinstance(record, Event):
            continue
        if record.kind == "clock_step":
            begin_ns, overruns = record.time_ns, 0
        elif record.kind == "overrun":
            first_ns, last_ns = record.detail["first_ns"], record.detail["last_ns"]
            assert begin_ns <= first_ns <= last_ns, "times of one epoch"  # type: ignore[operator]
            assert last_ns <= record.time_ns  # type: ignore[operator]
            overruns += 1
    assert overruns


def test_a_rest_is_told_when_it_begins_and_explains_what_was_skipped_before(tmp_path: Path) -> None:
    """Connections break now and then at both meters of a link; one that is to blame rests, and that is told in advance."""
    breaks = [Trouble("down", 60, 300, who=who, share=0.3) for who in ("m-001", "m-002")]
    plan = Plan(
        400,
        meters=2,
        channels=1,
        links=1,
        period_s=1,
        link_troubles={"link-1": breaks},
        sink_troubles={},
        seed=3,
    )
    play(plan, tmp_path)
    journaled = records(tmp_path)
    ahead = [
        record for record in journaled
        if isinstance(record, Event) and record.kind == "overrun" and record.detail["last_ns"] > record.time_ns  # type: ignore[operator]
    ]  # fmt: skip
    assert ahead, "no rest was told in advance: the test proves nothing"
    assert list(resorts(journaled)) == []


@pytest.mark.parametrize("seed", range(4))
def test_no_due_time_is_left_without_an_explanation(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    cuts = []
    for _ in range(chance.randint(1, 4)):
        begin_s = chance.uniform(20, 350)
        for_s = chance.choice([chance.uniform(0.01, 3), chance.uniform(3, 60)])
        cuts.append(Trouble("down", begin_s, begin_s + for_s, who=chance.choice(["", "m-001"])))
    steps = sorted(chance.uniform(30, 380) for _ in range(4))
    acts = [
        Act(at_s, "step", step_s=chance.choice([-1, 1]) * chance.choice([1.5, 5, 30, 600])) for at_s in steps
    ]
    play(busy(chance.choice([1, 0.6, 0.2]), acts, *cuts), tmp_path)
    assert list(resorts(records(tmp_path))) == []
