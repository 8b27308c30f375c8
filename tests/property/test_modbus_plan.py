"""The planner against a naive reader: one request a value, which cannot be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.modbus.pdu import bits_as_registers
from drivers.modbus.plan import REQUEST_BYTES, Plan, PlanError, plan
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


def _naive_merge(sources: tuple[Source, ...], limits: ReadLimits) -> int:
    """Return how many requests adjacent merging in address order makes."""
    requests = 0
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
                requests += 1
                low, high = part.address, end
    return requests


Check = Callable[[tuple[Source, ...], Plan, ReadLimits], None]


def _either(check: Check, limits_of: st.SearchStrategy[ReadLimits] = LIMITS) -> None:
    """Run a check over both shapes of meter."""

    def run(sources: tuple[Source, ...], limits: ReadLimits) -> None:
        readable = _readable(sources, limits)
        check(readable, plan(readable, limits, make_layout(readable)), limits)

    given(SOURCES, limits_of)(run)()
    given(DENSE.map(_place), limits_of)(run)()


def test_the_bytes_are_those_of_the_naive_reader() -> None:
    memory = Memory(seed=1)

    def check(sources: tuple[Source, ...], made: Plan, _limits: ReadLimits) -> None:
        answers = [memory.read(block.function, block.address, block.count) for block in made.blocks]
        assert made.assemble(answers) == _naive_raw(memory, sources)
        slots = [copy.slot for copy in made.copies]
        assert slots == sorted(slots)
        assert made.copies[-1].slot + made.copies[-1].length == made.size

    _either(check)


def test_the_limits_are_kept() -> None:
    def check(sources: tuple[Source, ...], made: Plan, limits: ReadLimits) -> None:
        for block in made.blocks:
            if block.function <= 2:
                assert block.count <= min(2000, 16 * limits.registers_max)
                continue
            assert block.count <= limits.registers_max
            assert block.address % limits.align == block.count % limits.align == 0

    _either(check)


def test_no_forbidden_address_is_entered() -> None:
    def check(sources: tuple[Source, ...], made: Plan, limits: ReadLimits) -> None:
        listed = {(p.function, p.address + i) for source in sources for p in source for i in range(p.count)}
        for block in made.blocks:
            asked = {(block.function, block.address + i) for i in range(block.count)}
            assert asked <= listed

    _either(check, LIMITS.map(lambda limits: replace(limits, holes="error")))


def test_no_value_is_cut() -> None:
    def check(sources: tuple[Source, ...], made: Plan, limits: ReadLimits) -> None:
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


def test_never_more_requests_than_merging_neighbours() -> None:
    def check(sources: tuple[Source, ...], made: Plan, limits: ReadLimits) -> None:
        assume(all(len(source) == 1 for source in sources))
        assert len(made.blocks) <= _naive_merge(sources, limits)

    # What the naive merger does not know: padding, whole values, one value a request, parts of one channel.
    _either(check, LIMITS.map(lambda limits: replace(limits, align=1, split="merge")))


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


def _cost(groups: list[list[int]], sources: tuple[Source, ...], limits: ReadLimits) -> int | None:
    """Return what a grouping costs, None if a rule forbids it; written from the rules, not from the planner."""
    listed = {p.address + i for source in sources for p in source for i in range(p.count)}
    cost = 0
    for group in groups:
        low = min(_hull(sources[i])[0] for i in group) // limits.align * limits.align
        high = -(-max(_hull(sources[i])[1] for i in group) // limits.align) * limits.align
        if high - low > limits.registers_max:
            return None
        if limits.holes != "zero" and not listed.issuperset(range(low, high)):
            return None
        cost += REQUEST_BYTES + 2 * (high - low)
    return cost


@given(
    st.lists(_value(3) | SPLIT_VALUE, min_size=1, max_size=6).map(tuple)
    | DENSE.map(lambda steps: _place(steps[:6])),
    LIMITS.map(lambda limits: replace(limits, split="merge")),
)
def test_no_other_grouping_is_cheaper(sources: tuple[Source, ...], limits: ReadLimits) -> None:
    costs = [_cost(groups, sources, limits) for groups in _partitions(list(range(len(sources))))]
    lawful = [cost for cost in costs if cost is not None]
    if not lawful:
        assert not _plannable(sources, limits)
        return
    blocks = plan(sources, limits, make_layout(sources)).blocks
    assert sum(REQUEST_BYTES + block.size for block in blocks) == min(lawful)
