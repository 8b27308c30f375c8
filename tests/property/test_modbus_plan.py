"""The planner against a naive reader: one request a value, which cannot be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.modbus.pdu import bits_as_registers
from drivers.modbus.plan import TCP, Cost, Plan, PlanError, line_cost, plan
from drivers.registers import ReadLimits, RegisterSource
from tests.unit.modbus.polls import Source, make_layout

ADDRESSES_USED = 300


class Memory:
    """A meter's registers and bits: what any request answers."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed)
        self._bytes = {function: rng.randbytes(2 * ADDRESSES_USED) for function in (3, 4)}
        self._bits = {function: [rng.randrange(2) for _ in range(ADDRESSES_USED)] for function in (1, 2)}

    def read(self, function: int, address: int, count: int) -> bytes:
        if function in self._bits:
            bits = self._bits[function][address : address + count]
            packed = sum(bit << i for i, bit in enumerate(bits)).to_bytes((count + 7) // 8, "little")
            return bits_as_registers(packed, count)
        return self._bytes[function][2 * address : 2 * (address + count)]


def _value(function: int) -> st.SearchStrategy[Source]:
    counts = st.just(1) if function <= 2 else st.sampled_from([1, 2, 2, 4])
    return st.builds(
        lambda a, n: (RegisterSource(function, a, n),), st.integers(0, ADDRESSES_USED - 8), counts
    )


def _split_value(address: int, gap: int, turned: bool) -> Source:
    parts = (RegisterSource(3, address, 2), RegisterSource(3, address + 2 + gap, 1))
    return parts[::-1] if turned else parts


SPLIT_VALUE = st.builds(_split_value, st.integers(0, ADDRESSES_USED - 8), st.integers(0, 2), st.booleans())
SOURCES = st.lists(
    st.one_of(_value(3), _value(3), _value(4), _value(1), _value(2), SPLIT_VALUE), min_size=1, max_size=40
).map(tuple)
# Values one after the other with small holes, as meters have them.
DENSE = st.lists(
    st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([0, 0, 0, 1, 6, 40])), min_size=1, max_size=25
)
LIMITS = st.builds(
    ReadLimits,
    registers_max=st.sampled_from([4, 8, 10, 33, 64, 125]),
    align=st.sampled_from([1, 1, 2, 4]),
    split=st.sampled_from(["merge", "whole_values", "single"]),
    holes=st.sampled_from(["zero", "error", "unknown"]),
    hole_max=st.sampled_from([None, None, 0, 1, 6]),
)
COSTS = st.sampled_from(
    [TCP, line_cost(11 / 9600, 3.5 * 11 / 9600), line_cost(10 / 115_200, 0.00175), Cost(3, 1)]
)


def _place(steps: list[tuple[int, int]]) -> tuple[Source, ...]:
    address, sources = 0, []
    for count, gap in steps:
        if address + count > ADDRESSES_USED - 8:
            break
        sources.append((RegisterSource(3, address, count),))
        address += count + gap
    return tuple(sources)


def _plannable(sources: tuple[Source, ...], limits: ReadLimits) -> bool:
    try:
        plan(sources, limits, make_layout(sources))
    except PlanError:
        return False
    return True


def _readable(sources: tuple[Source, ...], limits: ReadLimits) -> tuple[Source, ...]:
    """Return the sources if they can be planned together, else those that can be planned alone."""
    if not _plannable(sources, limits):
        sources = tuple(source for source in sources if _plannable((source,), limits))
        assume(sources and _plannable(sources, limits))
    return sources


def _naive_raw(memory: Memory, sources: tuple[Source, ...]) -> bytes:
    return b"".join(memory.read(p.function, p.address, p.count) for source in sources for p in source)


def _naive_merge(sources: tuple[Source, ...], limits: ReadLimits) -> list[tuple[int, int, int]]:
    """Return (function, address, count) of what merging neighbours in address order asks."""
    requests = []
    for function in (1, 2, 3, 4):
        limit = 16 * limits.registers_max if function <= 2 else limits.registers_max
        low = high = -1
        for part in sorted(
            (p for source in sources for p in source if p.function == function),
            key=lambda p: (p.address, p.count),
        ):
            end = part.address + part.count
            if low >= 0 and part.address <= high and max(high, end) - low <= limit:
                high = max(high, end)
            else:
                if low >= 0:
                    requests.append((function, low, high - low))
                low, high = part.address, end
        if low >= 0:
            requests.append((function, low, high - low))
    return requests


def _price(requests: list[tuple[int, int, int]], cost: Cost) -> int:
    """Return what requests cost, by the definition of the cost model."""
    return sum(
        cost.per_request + cost.per_byte * (-(-count // 8) if function <= 2 else 2 * count)
        for function, _, count in requests
    )


def _asked(made: Plan) -> list[tuple[int, int, int]]:
    return [(block.function, block.address, block.count) for block in made.blocks]


def _overlap_partly(sources: tuple[Source, ...]) -> bool:
    parts = sorted({part for source in sources for part in source})
    return any(
        one.function == other.function and other.address < one.address + one.count
        for one, other in pairwise(parts)
    )


Check = Callable[[tuple[Source, ...], Plan, ReadLimits, Cost], None]


def _either(check: Check, limits_of: st.SearchStrategy[ReadLimits] = LIMITS) -> None:
    """Run a check over both shapes of meter."""

    def run(sources: tuple[Source, ...], limits: ReadLimits, cost: Cost) -> None:
        readable = _readable(sources, limits)
        check(readable, plan(readable, limits, make_layout(readable), cost=cost), limits, cost)

    given(SOURCES, limits_of, COSTS)(run)()
    given(DENSE.map(_place), limits_of, COSTS)(run)()


def test_r25_merged_requests_bring_the_values_of_a_naive_reader() -> None:
    memory = Memory(seed=1)

    def check(sources: tuple[Source, ...], made: Plan, _limits: ReadLimits, _cost: Cost) -> None:
        answers = [memory.read(block.function, block.address, block.count) for block in made.blocks]
        assert made.assemble(answers) == _naive_raw(memory, sources)
        slots = [copy.slot for copy in made.copies]
        assert slots == sorted(slots)
        assert made.copies[-1].slot + made.copies[-1].length == made.size

    _either(check)


def test_the_limits_are_kept() -> None:
    def check(sources: tuple[Source, ...], made: Plan, limits: ReadLimits, _cost: Cost) -> None:
        for block in made.blocks:
            if block.function <= 2:
                assert block.count <= min(2000, 16 * limits.registers_max)
                continue
            assert block.count <= limits.registers_max
            assert block.address % limits.align == block.count % limits.align == 0

    _either(check)


def test_no_forbidden_address_is_entered() -> None:
    def check(sources: tuple[Source, ...], made: Plan, limits: ReadLimits, _cost: Cost) -> None:
        listed = {(p.function, p.address + i) for source in sources for p in source for i in range(p.count)}
        for block in made.blocks:
            asked = {(block.function, block.address + i) for i in range(block.count)}
            assert asked <= listed

    _either(check, LIMITS.map(lambda limits: replace(limits, holes="error")))


def test_no_value_is_cut() -> None:
    def check(sources: tuple[Source, ...], made: Plan, limits: ReadLimits, _cost: Cost) -> None:
        served = sorted(i for block in made.blocks for i in block.channels)
        assert served == list(range(len(sources)))
        for block in made.blocks:
            end = block.address + block.count
            for i in block.channels:
                assert all(block.address <= p.address and p.address + p.count <= end for p in sources[i])
            if limits.split == "single":
                assert len({_hull(sources[i]) for i in block.channels}) == 1
            if limits.split == "whole_values":
                for part in (p for source in sources for p in source if p.function == block.function):
                    inside = range(part.address + 1, part.address + part.count)
                    assert block.address not in inside
                    assert end not in inside

    _either(check)


def _hull(source: Source) -> tuple[int, int]:
    return min(p.address for p in source), max(p.address + p.count for p in source)


SIMPLE = LIMITS.map(lambda limits: replace(limits, align=1, split="merge"))
"""What the naive merger does not know is left out: padding, whole values, one value a request."""


def test_r25_never_dearer_nor_more_requests_than_merging_neighbours() -> None:
    def check(sources: tuple[Source, ...], made: Plan, limits: ReadLimits, cost: Cost) -> None:
        assume(all(len(source) == 1 for source in sources))
        naive = _naive_merge(sources, limits)
        assert _price(_asked(made), cost) <= _price(naive, cost)
        if not _overlap_partly(sources):
            assert len(made.blocks) <= len(naive)

    _either(check, SIMPLE)


def test_no_hole_is_longer_than_allowed() -> None:
    def check(sources: tuple[Source, ...], made: Plan, limits: ReadLimits, _cost: Cost) -> None:
        listed = {(p.function, p.address + i) for source in sources for p in source for i in range(p.count)}
        longest = 0
        for block in made.blocks:
            run = 0
            for address in range(block.address, block.address + block.count):
                run = 0 if (block.function, address) in listed else run + 1
                longest = max(longest, run)
        assert longest <= (limits.hole_max or 0)

    _either(check, LIMITS.map(lambda limits: replace(limits, holes="zero", hole_max=limits.hole_max or 0)))


@given(SOURCES)
def test_without_alignment_every_lawful_single_value_can_be_read(sources: tuple[Source, ...]) -> None:
    simple = tuple(source for source in sources if len(source) == 1)
    assume(simple)
    made = plan(simple, ReadLimits(registers_max=4), make_layout(simple))
    assert made.size == sum(2 * source[0].count for source in simple)


def _partitions(items: list[int]) -> Iterator[list[list[int]]]:
    """Yield every way to divide the items into groups."""
    if not items:
        yield []
        return
    first, *rest = items
    for groups in _partitions(rest):
        yield [[first], *groups]
        for n, group in enumerate(groups):
            yield [*groups[:n], [first, *group], *groups[n + 1 :]]


def _cost(groups: list[list[int]], sources: tuple[Source, ...], limits: ReadLimits, cost: Cost) -> int | None:
    """Return what a grouping costs, None if a rule forbids it; written from the rules, not from the planner."""
    listed = {p.address + i for source in sources for p in source for i in range(p.count)}
    total = 0
    for group in groups:
        low = min(_hull(sources[i])[0] for i in group) // limits.align * limits.align
        high = -(-max(_hull(sources[i])[1] for i in group) // limits.align) * limits.align
        if high - low > limits.registers_max:
            return None
        if limits.holes != "zero" and not listed.issuperset(range(low, high)):
            return None
        total += cost.per_request + cost.per_byte * 2 * (high - low)
    return total


@given(
    st.lists(_value(3) | SPLIT_VALUE, min_size=1, max_size=6).map(tuple)
    | DENSE.map(lambda steps: _place(steps[:6])),
    LIMITS.map(lambda limits: replace(limits, split="merge", hole_max=None)),
    COSTS,
)
def test_no_other_grouping_is_cheaper(sources: tuple[Source, ...], limits: ReadLimits, cost: Cost) -> None:
    costs = [_cost(groups, sources, limits, cost) for groups in _partitions(list(range(len(sources))))]
    lawful = [cost for cost in costs if cost is not None]
    if not lawful:
        assert not _plannable(sources, limits)
        return
    made = plan(sources, limits, make_layout(sources), cost=cost)
    assert _price(_asked(made), cost) == min(lawful)
