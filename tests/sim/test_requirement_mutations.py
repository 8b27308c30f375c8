"""Each requirement's test must fail when the behaviour is taken away. `MUTANTS` is the proof, and reads as a list.

A mutant takes one behaviour away in this process; then the requirement's own test body is run and must fail as a test
or a reader of the gateway would see it fail, not by a mistake of the mutant.
The other place where patching is the point is `test_mutations`.
"""

from __future__ import annotations

import asyncio
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from asyncua import ua
from hypothesis import Phase, settings

from drivers.absences import Absences
from drivers.lines.contract import Found
from drivers.lines.doubt import Doubts
from drivers.lines.line import HalfDuplexLine
from drivers.modbus import plan as planning
from drivers.modbus import rtu, stream
from drivers.modbus.framing import check
from drivers.modbus.reading import Reading
from drivers.modbus.rtu import RtuAsk
from drivers.opcua import slot
from drivers.opcua.driver import OpcUaLink
from drivers.opcua.subscription import Subscription
from drivers.roundtrip import RoundTrips
from gateway.checks import Checker
from gateway.config.links import SerialConfig
from gateway.counters import delta
from gateway.errors import LinkDown, MetergateError
from gateway.model import Flag
from gateway.polling.poll import LinkPoller
from gateway.polling.trial import Breaker
from gateway.polling.watch import Watch
from tests.contract import test_line_requirements as lines
from tests.contract import test_opcua_requirements as opcua
from tests.contract.opcua_server import PlantServer, new_link
from tests.property import test_modbus_plan as plans
from tests.sim import test_requirements as sims
from tests.unit import test_assembly_lines as assembly

if TYPE_CHECKING:
    from array import array
    from collections.abc import Awaitable, Callable, Iterator

    from gateway.errors import DeviceError
    from gateway.interfaces import Link
    from gateway.model import Sample
    from gateway.polling.trial import Trial

Patch = pytest.MonkeyPatch
FAILURES = (AssertionError, MetergateError, TimeoutError, ValueError, RuntimeError, pytest.fail.Exception)
"""How a requirement's test may fail. ValueError: there is not one event where one is unpacked; RuntimeError: a fake link
had two owners, or virtual time stood still."""

ISSUE = (1, 4, 7, 8, 10, 11, 16, 17, 21, 23, 24, 25, 33, 36, 40)
"""The requirements (R1 to R42) that must have a test of their name."""


class Mutant(NamedTuple):
    """requirement: its number. without: what the gateway does not do any more. body: the test, given a folder."""

    requirement: int
    without: str
    mutate: Callable[[Patch], None]
    body: Callable[[Path], object]


# the gateway


def link_dies_with_a_meter(patch: Patch) -> None:
    def wrong(self: LinkPoller, trial: Trial, error: DeviceError) -> float:
        raise LinkDown(str(error))

    patch.setattr(LinkPoller, "_failed", wrong)


def nobody_is_to_blame_for_a_connection(patch: Patch) -> None:
    patch.setattr(Breaker, "cut", lambda *_: False)


def absent_at_the_start_is_absent_for_ever(patch: Patch) -> None:
    session = LinkPoller._session

    async def wrong(self: LinkPoller) -> None:
        if self._own.downs and not self._own.ups:
            await self._clock.sleep_until(math.inf if not self._targets else 1e9)
        await session(self)

    patch.setattr(LinkPoller, "_session", wrong)


def dead_meters_are_asked_like_live_ones(patch: Patch) -> None:
    failed = Breaker.failed

    def wrong(self: Breaker, trial: Trial, error: DeviceError, cost_s: float) -> float:
        return failed(self, trial, error, cost_s) * 0

    patch.setattr(Breaker, "failed", wrong)


def ports_are_compared_by_name(patch: Patch) -> None:
    patch.setattr(SerialConfig, "endpoint", lambda self: self.port)


def errands_do_not_wait_for_the_owner(patch: Patch) -> None:
    async def wrong(self: LinkPoller, work: Callable[[Link], Awaitable[Any]], *, timeout_s: float) -> Any:
        return await work(self._link)

    patch.setattr(LinkPoller, "errand", wrong)


def nobody_watches_the_owner(patch: Patch) -> None:
    async def wrong(_: Watch, task: asyncio.Task[None]) -> None:
        await asyncio.wait({task})

    patch.setattr(Watch, "over", wrong)


def spikes_are_zeroed(patch: Patch) -> None:
    judge = Checker.check

    def wrong(self: Checker, time_ns: int, values: array[float], flags: array[int], raw: bytes = b"") -> None:
        judge(self, time_ns, values, flags, raw)
        for i, flag in enumerate(flags):
            values[i] = 0.0 if flag & Flag.JUMP else values[i]

    patch.setattr(Checker, "check", wrong)


def counters_have_no_modulus(patch: Patch) -> None:
    patch.setattr("gateway.checks.delta", lambda opening, closing, _modulus: delta(opening, closing, None))


# Modbus and lines


def an_illegal_address_costs_its_whole_block(patch: Patch) -> None:
    patch.setattr(Reading, "learn", lambda *_: False)


def absent_channels_are_asked_at_every_poll(patch: Patch) -> None:
    patch.setattr(Absences, "skips", lambda *_: False)


def absent_channels_are_never_asked_again(patch: Patch) -> None:
    patch.setattr(Absences, "skips", lambda self, value, _now_s: value in self.off())


def an_answer_must_come_alone(patch: Patch) -> None:
    def wrong(self: RtuAsk, received: bytes) -> Found | None:
        whole = received.startswith(self._prefix) and rtu.is_whole(received[: self.answer_size])
        return Found(0, self.answer_size) if whole else None

    patch.setattr(RtuAsk, "find", wrong)


def stale_bytes_stay(patch: Patch) -> None:
    patch.setattr(HalfDuplexLine, "_flush", lambda _: None)


def every_meter_gets_the_configured_time(patch: Patch) -> None:
    patch.setattr(RoundTrips, "timeout_s", lambda _self, _trip, high_s: high_s)


def every_meter_gets_the_shortest_time(patch: Patch) -> None:
    patch.setattr(RoundTrips, "timeout_s", lambda self, _trip, _high_s: min(self.low_s, 0.01))


def neighbours_are_not_merged(patch: Patch) -> None:
    patch.setattr(planning, "_separate", lambda *_: True)


def values_are_put_one_byte_off(patch: Patch) -> None:
    assemble = planning.Plan.assemble

    def wrong(self: planning.Plan, answers: list[bytes]) -> bytes:
        raw = assemble(self, answers)
        return raw[1:] + raw[:1]

    patch.setattr(planning.Plan, "assemble", wrong)


def late_answers_are_believed_on_a_line(patch: Patch) -> None:
    patch.setattr(Doubts, "rest_s", lambda *_: 0.0)
    patch.setattr(Doubts, "believe", lambda *_: True)


def check_bytes_are_not_checked(patch: Patch) -> None:
    patch.setattr(rtu, "is_whole", lambda _: True)


def transactions_are_not_compared(patch: Patch) -> None:
    take = stream.Stream._take

    def wrong(self: stream.Stream, frame: Any, raw: bytes) -> None:
        waiting = next(iter(self._pending), frame.transaction)
        take(self, frame._replace(transaction=waiting), raw)

    patch.setattr(stream.Stream, "_take", wrong)


def units_are_not_compared(patch: Patch) -> None:
    patch.setattr("drivers.modbus.stream.check", lambda frame, ask: check(frame._replace(unit=ask.unit), ask))


# OPC UA


def no_watch_on_publish_responses(patch: Patch) -> None:
    patch.setattr(opcua, "PATIENCE_S", 3.0)
    patch.setattr(Subscription, "fault", lambda _: "")


def one_bad_node_id_costs_the_poll(patch: Patch) -> None:
    sample_of = OpcUaLink._sample

    def wrong(self: OpcUaLink, poll: Any, answers: list[ua.DataValue]) -> tuple[Sample, Any]:
        if not all(answer.StatusCode.is_good() for answer in answers):  # type: ignore[union-attr]
            raise self._all_refused(poll, answers)
        return sample_of(self, poll, answers)

    patch.setattr(OpcUaLink, "_sample", wrong)


def uncertain_is_good(patch: Patch) -> None:
    judge = slot.judge
    patch.setattr(slot, "judge", lambda packed, status, *ages: judge(packed, status & 0x3FFFFFFF, *ages))


def bad_is_given_with_the_old_number(patch: Patch) -> None:
    pack = slot.pack
    patch.setattr(
        slot, "pack", lambda kind, value, status, source_ns: pack(10, 1.0, status & 0x3FFFFFFF, source_ns)
    )


def served(test: Callable[..., Awaitable[None]], *more: object) -> Callable[[Path], object]:
    """Return the body of an OPC UA test with its server."""
    links: list[OpcUaLink] = []

    def kept(*args: Any, **settings: Any) -> OpcUaLink:
        links.append(new_link(*args, **settings))
        return links[-1]

    async def run(server: PlantServer) -> None:
        try:
            await asyncio.wait_for(test(server, *more), 20)
        finally:
            for link in links:
                await link.close()

    def body(_: Path) -> None:
        with PlantServer() as server, Patch.context() as patch:
            patch.setattr(opcua, "new_link", kept)
            server.add("Flow", 1.0, ua.VariantType.Double)
            asyncio.run(run(server))

    return body


def on_wire(test: Callable[..., Any], *more: object) -> Callable[[Path], object]:
    """Return the body of a test on sockets and pseudo terminals."""
    return lambda _: asyncio.run(asyncio.wait_for(test(*more), 20))


MUTANTS = [
    Mutant(1, "a silent meter takes its link down", link_dies_with_a_meter,
           sims.test_r01_a_failure_discards_nobody_elses_values_nor_the_meters_own),
    Mutant(1, "a meter may break the others' connection for ever", nobody_is_to_blame_for_a_connection,
           sims.test_r01_a_meter_that_breaks_the_connection_it_shares_costs_the_others_nothing),
    Mutant(4, "its neighbours are lost with it", an_illegal_address_costs_its_whole_block,
           on_wire(lines.test_r04_an_illegal_address_disables_its_channel_only, "tcp")),
    Mutant(4, "it is asked at every poll", absent_channels_are_asked_at_every_poll,
           on_wire(lines.test_r04_an_illegal_address_disables_its_channel_only, "rtu")),
    Mutant(4, "it is not tried the next day", absent_channels_are_never_asked_again,
           on_wire(lines.test_r04_an_illegal_address_disables_its_channel_only, "tcp")),
    Mutant(7, "a mute subscription is waited for", no_watch_on_publish_responses,
           served(opcua.test_r07_session_and_subscription_are_rebuilt_for_ever, "mute")),
    Mutant(8, "who is absent at the start stays so", absent_at_the_start_is_absent_for_ever,
           sims.test_r08_everything_may_be_offline_at_the_start),
    Mutant(10, "one bad node id loses all", one_bad_node_id_costs_the_poll,
           served(opcua.test_r10_a_bad_node_id_is_told_once_and_costs_only_itself, None)),
    Mutant(11, "uncertain is taken for good", uncertain_is_good,
           served(opcua.test_r11_three_states_with_the_raw_code_and_no_old_value_as_fresh, None)),
    Mutant(11, "bad comes with the old number", bad_is_given_with_the_old_number,
           served(opcua.test_r11_three_states_with_the_raw_code_and_no_old_value_as_fresh, None)),
    Mutant(16, "no search for the answer among other bytes", an_answer_must_come_alone,
           on_wire(lines.test_r16_foreign_frames_and_noise_cost_nothing, "rtu")),
    Mutant(16, "no flush before a request", stale_bytes_stay,
           on_wire(lines.test_r16_stale_bytes_are_flushed_before_each_request, "rtu")),
    Mutant(17, "a dead meter always costs the configured time", every_meter_gets_the_configured_time,
           on_wire(lines.test_r17_a_dead_meter_costs_little_once_its_pace_is_known, "tcp")),
    Mutant(17, "a slow meter gets as little time as a fast one", every_meter_gets_the_shortest_time,
           on_wire(lines.test_r17_a_slow_meter_with_jitter_is_not_lost, "tcp")),
    Mutant(21, "no breaker: dead meters are asked like live ones", dead_meters_are_asked_like_live_ones,
           sims.test_r21_the_breaker_belongs_to_one_meter_of_one_link),
    Mutant(23, "two names of one port are two lines", ports_are_compared_by_name,
           assembly.test_r23_two_links_on_one_port_name_each_other),
    Mutant(23, "commands use the link beside its owner", errands_do_not_wait_for_the_owner,
           sims.test_r23_errands_are_done_by_the_links_owner_between_polls),
    Mutant(24, "no watch on a link that hangs", nobody_watches_the_owner,
           lambda folder: sims.test_r24_a_link_that_hangs_is_rebuilt(folder, "hang", shut=False)),
    Mutant(25, "one request for each value", neighbours_are_not_merged,
           lambda _: plans.test_r25_never_dearer_nor_more_requests_than_merging_neighbours()),
    Mutant(25, "merged values in the wrong place", values_are_put_one_byte_off,
           lambda _: plans.test_r25_merged_requests_bring_the_values_of_a_naive_reader()),
    Mutant(33, "a late answer is taken for the next, on a line", late_answers_are_believed_on_a_line,
           on_wire(lines.test_r33_a_late_answer_is_never_taken_for_the_next, "rtu", 1)),
    Mutant(33, "a late answer is taken for the next, on TCP", transactions_are_not_compared,
           on_wire(lines.test_r33_a_late_answer_is_never_taken_for_the_next, "tcp", 1)),
    Mutant(33, "another unit's answer is taken", units_are_not_compared,
           on_wire(lines.test_r33_an_answer_must_fit_in_everything, "tcp", "unit")),
    Mutant(33, "a disturbed answer is taken", check_bytes_are_not_checked,
           on_wire(lines.test_r33_an_answer_must_fit_in_everything, "rtu", "check bytes")),
    Mutant(36, "a suspected spike becomes 0", spikes_are_zeroed,
           sims.test_r36_a_spike_is_kept_flagged_and_told_never_zeroed),
    Mutant(40, "a rollover is no event", counters_have_no_modulus,
           sims.test_r40_what_happens_to_a_counter_is_an_event_with_both_readings),
]  # fmt: skip


@pytest.fixture(autouse=True)
def first_example_that_fails_is_enough() -> Iterator[None]:
    """Let hypothesis not look for the smallest one."""
    settings.register_profile("mutants", settings.get_profile("ci"), phases=[Phase.generate], max_examples=50)
    before = settings.default
    settings.load_profile("mutants")
    yield
    settings.register_profile("before", before)
    settings.load_profile("before")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"R{mutant.requirement}-{mutant.without}")
def test_without_the_behaviour_the_requirement_fails(
    mutant: Mutant, tmp_path: Path, monkeypatch: Patch
) -> None:
    mutant.mutate(monkeypatch)
    try:
        with pytest.raises(FAILURES):
            mutant.body(tmp_path)
    finally:
        monkeypatch.undo()


def test_every_requirement_has_a_test_of_its_name_and_a_mutant() -> None:
    assert {mutant.requirement for mutant in MUTANTS} == set(ISSUE)
    named = {
        int(number)
        for path in Path(__file__).parents[1].rglob("test_*.py")
        for number in re.findall(
            r"^(?:async )?def test_r(\d\d)_", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert set(ISSUE) <= named
