"""The cheapest set of read requests for one poll, and where each answer's bytes go in the raw sample.

Pure: no I/O, no clock. Rules:

* A channel's parts lie in one request, so that integer part and fraction belong to the same moment.
* A request enters an address nobody listed only where the meter type answers holes with zeros, and never more than
  `hole_max` of them at a stretch.
* No request is longer than the limit; addresses and counts keep the alignment.
* "whole_values": no request begins or ends inside a value, so overlapping values stay together and nothing is
  padded. "single": one channel a request.
* Bits (functions 1 and 2): one bit a part, two bytes in the slot (0 or 1, most significant byte first). A request
  may ask for as many bits as fit into an answer of `registers_max` registers, at most 2000; alignment is a matter
  of registers and does not apply.

Cost of a set of requests = Σ (`Cost.per_request` + `Cost.per_byte` × bytes of values), in whatever is scarce on the
link: bytes on TCP (`TCP`), time on a serial line (`line_cost`). The channels of one function, in order of their first
address, are cut into consecutive runs, and dynamic programming finds the cheapest cut. Consecutive runs are enough: if
a request begins before another, every channel of the later one that starts earlier can move without making either
longer. A greedy merger is not enough as soon as alignment, holes and limits meet. It follows that no cut costs more
than a greedy merger's; and as that one reads no byte in vain where values do not partly overlap, it has no fewer requests.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from drivers.modbus.pdu import ADDRESSES, BIT_FUNCTIONS, BITS_MAX, FUNCTIONS, REGISTERS_MAX
from drivers.registers import ReadLimits, RegisterSource

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from gateway.layout import Layout

REQUEST_BYTES = 101
"""What one more request costs on TCP, in bytes: 12 asked, 9 around the values, 2 × 40 of IP and TCP headers."""
DELAY_ASSUMED_S = 0.010
"""How long a meter on a serial line is taken to think before it answers, until somebody measures it.

An assumption, not a fact: meters take 5 to 50 ms. A wrong one costs a few milliseconds a poll, never a value.
"""
LINE_REQUEST_BYTES = 8
"""A request on a serial line: unit, function, address, count, CRC. Source: Modbus over serial line V1.02, 2.3."""
LINE_ANSWER_BYTES = 5
"""An answer on a serial line beside its values: unit, function, byte count, CRC. Source: the same."""

_PLANS_MAX = 256  # meters of one type share one plan


class PlanError(ValueError):
    """The channels cannot be read under the meter type's limits; the text names the channel."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one more request, and one more byte of values, takes of what is scarce on a link.

    Whole numbers of one unit, so that equal costs are equal: bytes on TCP, nanoseconds on a serial line.
    per_rest_ms: what each millisecond of rest the meter type wants between requests adds to a request.
    """

    per_request: int
    per_byte: int
    per_rest_ms: int = 0

    def of_requests(self, limits: ReadLimits) -> int:
        """Return what one more request to a meter with these limits costs."""
        return self.per_request + self.per_rest_ms * limits.pause_ms


TCP = Cost(REQUEST_BYTES, 1)


def line_cost(character_s: float, silence_s: float) -> Cost:
    """Return the cost of Modbus RTU on a serial line, in nanoseconds.

    character_s: one character on the wire, start, parity and stop bits included. silence_s: what must lie before each
    frame. The meter's own delay is taken to be `DELAY_ASSUMED_S`.
    """
    frames_s = (LINE_REQUEST_BYTES + LINE_ANSWER_BYTES) * character_s
    gaps_s = silence_s + max(silence_s, DELAY_ASSUMED_S)
    return Cost(round(1e9 * (frames_s + gaps_s)), round(1e9 * character_s), 1_000_000)


@dataclass(frozen=True, slots=True)
class Block:
    """One request. channels: indices into the layout of those it serves, ascending."""

    function: int
    address: int
    count: int
    channels: tuple[int, ...]

    @property
    def size(self) -> int:
        """Return the answer's length in bytes once bits are spread to two bytes each."""
        return 2 * self.count


class Copy(NamedTuple):
    """`length` bytes from `source` of block `block`'s answer go to `slot` of the raw sample."""

    block: int
    source: int
    length: int
    slot: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests of one poll in order of sending, and the copies that make a raw sample of their answers.

    size: bytes of the raw sample. direct: the only answer's bytes are the raw sample, nothing to copy.
    """

    blocks: tuple[Block, ...]
    copies: tuple[Copy, ...]
    size: int
    direct: bool

    def assemble(self, answers: Sequence[bytes]) -> bytes:
        """Return the raw sample from one answer a block, each `Block.size` long."""
        if self.direct:
            return answers[0]
        return b"".join(
            [answers[block][source : source + length] for block, source, length, _ in self.copies]
        )


class _Atom(NamedTuple):
    """Channels that cannot be read apart, and the addresses [low, high) they need."""

    low: int
    high: int
    channels: tuple[int, ...]
    apart: bool


def plan(
    sources: tuple[Hashable, ...],
    limits: ReadLimits,
    layout: Layout,
    apart: frozenset[int] = frozenset(),
    cost: Cost = TCP,
) -> Plan:
    """Return the cheapest requests for `sources` (a tuple of RegisterSource each, in channel order).

    apart: indices of channels that are to be read by a request of their own. cost: of the link they are sent on.
    Raises PlanError, which names the channel and what to change.
    """
    parts = tuple(
        _parts(source, channel.key) for source, channel in zip(sources, layout.channels, strict=True)
    )
    sizes = tuple(slot.size for slot in layout.slots)
    keys = tuple(channel.key for channel in layout.channels)
    return _plan(parts, limits, sizes, keys, apart, cost)


def _parts(source: Hashable, key: str) -> tuple[RegisterSource, ...]:
    if not isinstance(source, tuple) or not source or not all(isinstance(p, RegisterSource) for p in source):
        raise PlanError(f"channel {key}: {source!r} is not a tuple of register sources")
    return source


@lru_cache(_PLANS_MAX)
def _plan(
    sources: tuple[tuple[RegisterSource, ...], ...],
    limits: ReadLimits,
    sizes: tuple[int, ...],
    keys: tuple[str, ...],
    apart: frozenset[int],
    cost: Cost,
) -> Plan:
    if not 1 <= limits.registers_max <= REGISTERS_MAX or not 1 <= limits.align <= limits.registers_max:
        raise PlanError(
            f"limit {limits.registers_max} registers, alignment {limits.align}: lawful are 1 to {REGISTERS_MAX}, "
            "and an alignment no larger than the limit"
        )
    for source, size, key in zip(sources, sizes, keys, strict=True):
        _verify(source, size, key)
    blocks: list[Block] = []
    for function in sorted({source[0].function for source in sources}):
        chosen = [i for i, source in enumerate(sources) if source[0].function == function]
        blocks += _blocks(function, {i: sources[i] for i in chosen}, limits, keys, apart, cost)
    copies = _copies(blocks, sources)
    total = sum(sizes)
    direct = len(blocks) == 1 and copies == (Copy(0, 0, total, 0),) and blocks[0].size == total
    return Plan(tuple(blocks), copies, total, direct)


def _verify(source: tuple[RegisterSource, ...], size: int, key: str) -> None:
    """Raise PlanError unless the parts are lawful and fill the channel's slot."""
    function = source[0].function
    for part in source:
        if part.function not in FUNCTIONS:
            raise PlanError(f"channel {key}: function {part.function} is no read; 1 to 4 are")
        if part.function != function:
            raise PlanError(
                f"channel {key}: its parts use functions {function} and {part.function}, which one request cannot; "
                "make them two channels"
            )
        if part.count < 1 or part.address < 0 or part.address + part.count > ADDRESSES:
            raise PlanError(
                f"channel {key}: address {part.address} with count {part.count} is not within 0 to {ADDRESSES - 1}"
            )
        if function in BIT_FUNCTIONS and part.count != 1:
            raise PlanError(f"channel {key}: {part.count} bits; a bit channel has one (type u16, 0 or 1)")
    filled = 2 * sum(part.count for part in source)
    if filled != size:
        raise PlanError(f"channel {key}: its sources give {filled} bytes, its type needs {size}")


def _blocks(
    function: int,
    sources: dict[int, tuple[RegisterSource, ...]],
    limits: ReadLimits,
    keys: tuple[str, ...],
    apart: frozenset[int],
    cost: Cost,
) -> list[Block]:
    """Return the cheapest blocks for all channels of one function, ascending."""
    bounds = _Bounds(function, limits, [part for source in sources.values() for part in source])
    atoms = _atoms(sources, limits, apart)
    per_request = cost.of_requests(limits)
    best: list[tuple[int, int]] = [(0, 0)]  # (cost, requests) of the first n atoms
    begins = [0]  # where the last block of that best begins
    for end in range(1, len(atoms) + 1):
        choice = None
        last = atoms[end - 1]
        high = 0
        for begin in range(end - 1, -1, -1):
            first = atoms[begin]
            if last.low - first.low >= bounds.limit or (begin < end - 1 and _separate(first, last, limits)):
                break  # nor may any longer run
            high = max(high, first.high)
            span = bounds.span(first.low, high)
            if span is not None:
                before, requests = best[begin]
                total = before + per_request + cost.per_byte * bounds.bytes_of(span)
                if choice is None or (total, requests + 1, begin) < choice:
                    choice = total, requests + 1, begin
        if choice is None:
            raise PlanError(bounds.why_not(last, keys))
        best.append(choice[:2])
        begins.append(choice[2])
    blocks = []
    end = len(atoms)
    while end:
        members = atoms[begins[end] : end]
        span = bounds.span(members[0].low, max(atom.high for atom in members))
        assert span is not None  # it was chosen above
        channels = sorted(i for atom in members for i in atom.channels)
        blocks.append(Block(function, span[0], span[1] - span[0], tuple(channels)))
        end = begins[end]
    return blocks[::-1]


def _separate(one: _Atom, other: _Atom, limits: ReadLimits) -> bool:
    """Return whether these may not share a request."""
    if one.apart or other.apart:
        return True
    # Two channels on the very same addresses (high and low byte of one register) are still one value asked for.
    return limits.split == "single" and (one.low, one.high) != (other.low, other.high)


def _atoms(
    sources: dict[int, tuple[RegisterSource, ...]], limits: ReadLimits, apart: frozenset[int]
) -> list[_Atom]:
    """Return the smallest readable pieces in order of their first address."""
    atoms = sorted(
        _Atom(min(p.address for p in source), max(p.address + p.count for p in source), (i,), i in apart)
        for i, source in sources.items()
    )
    if limits.split != "whole_values":
        return atoms
    whole: list[_Atom] = []
    for atom in atoms:
        if whole and atom.low < whole[-1].high:
            last = whole.pop()
            high = max(last.high, atom.high)
            whole.append(_Atom(last.low, high, last.channels + atom.channels, last.apart or atom.apart))
        else:
            whole.append(atom)
    return whole


class _Bounds:
    """What one request of a function may cover."""

    def __init__(self, function: int, limits: ReadLimits, parts: Iterable[RegisterSource]) -> None:
        self.bits = function in BIT_FUNCTIONS
        self.align = 1 if self.bits else limits.align
        self.limit = (
            min(BITS_MAX, 16 * limits.registers_max)
            if self.bits
            else limits.registers_max // limits.align * limits.align
        )
        self._pads = limits.split != "whole_values"
        self._hole_max = 0
        if limits.holes == "zero":
            self._hole_max = ADDRESSES if limits.hole_max is None else limits.hole_max
        self._lows: list[int] = []  # stretches that may be read at once, but for the limit
        self._highs: list[int] = []
        for low, high in sorted((part.address, part.address + part.count) for part in parts):
            if self._highs and low <= self._highs[-1] + self._hole_max:
                self._highs[-1] = max(self._highs[-1], high)
            else:
                self._lows.append(low)
                self._highs.append(high)

    def span(self, low: int, high: int) -> tuple[int, int] | None:
        """Return the addresses [low, high) a request for these must cover, None if it may not."""
        first = low // self.align * self.align
        end = -(-high // self.align) * self.align
        if end - first > self.limit or end > ADDRESSES:
            return None
        if not self._pads and (first, end) != (low, high):
            return None
        stretch = bisect_right(self._lows, low) - 1
        if high > self._highs[stretch]:
            return None
        outside = max(self._lows[stretch] - first, end - self._highs[stretch])
        return None if outside > self._hole_max else (first, end)

    def bytes_of(self, span: tuple[int, int]) -> int:
        """Return how many bytes of values the answer to this span has."""
        count = span[1] - span[0]
        return (count + 7) // 8 if self.bits else 2 * count

    def _holes_text(self) -> str:
        if self._hole_max == ADDRESSES:
            return "unlisted addresses allowed"
        return f"at most {self._hole_max} unlisted addresses" if self._hole_max else "no unlisted address"

    def why_not(self, atom: _Atom, keys: tuple[str, ...]) -> str:
        """Return why these channels cannot be read at all, and what to change."""
        names = ", ".join(keys[i] for i in atom.channels)
        what = "bits" if self.bits else "registers"
        return (
            f"channel {names}: addresses {atom.low} to {atom.high - 1} do not fit one request of at most {self.limit} "
            f"{what}, alignment {self.align}, "
            f"{self._holes_text()}"
            f"{'' if self._pads else ', no padding'}; check its addresses, or the profile's limits against the manual"
        )


def _copies(blocks: Sequence[Block], sources: tuple[tuple[RegisterSource, ...], ...]) -> tuple[Copy, ...]:
    """Return the copies in slot order, neighbours joined; together they fill the raw sample without a gap."""
    block_of = {channel: n for n, block in enumerate(blocks) for channel in block.channels}
    copies: list[Copy] = []
    slot = 0
    for i, source in enumerate(sources):
        n = block_of[i]
        for part in source:
            start, length = 2 * (part.address - blocks[n].address), 2 * part.count
            last = copies[-1] if copies else None
            if last is not None and last.block == n and last.source + last.length == start:
                copies[-1] = last._replace(length=last.length + length)
            else:
                copies.append(Copy(n, start, length, slot))
            slot += length
    return tuple(copies)
