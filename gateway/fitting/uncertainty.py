"""How far an instrument's amount may be off: standard uncertainty from class and chain, expanded with k = 2. Pure.

A class is taken as the maximum permissible error in percent of the amount, a rectangular distribution of that half-width:
u = class / √3. Parts of a chain that the class does not speak of, as transformers, come in by root sum of squares.
Source: JCGM 100:2008 (GUM) 4.3.7 (rectangular), 5.1.2 (uncorrelated), 5.2 (correlated), 6.2 (k = 2, about 95 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING

from gateway.fitting.grounds import NOTHING, Words
from gateway.inventory.sheet_words import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.fitting.ruleset import Ladder
    from gateway.inventory.model import ChainPart, Instrument

COVERAGE = Decimal(2)
"""k: about 95 % of a normal distribution. Source: JCGM 100:2008 6.2, G.6.6."""
RECTANGULAR = Decimal(3)
"""Half-width squared over variance of a rectangular distribution. Source: JCGM 100:2008 4.3.7."""
PERCENT = Decimal(100)
DIGITS = 60
"""Of intermediate figures: amounts have up to 27, and none may be lost before a square root is taken."""
TRANSFORMERS = frozenset({"ct", "vt"})


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What is known of an instrument's error. variance: of the relative error, None if a class is not known, then `why` says which.

    text: the classes it stands on, as "0.5S + ct 0.2S".
    """

    variance: Decimal | None
    text: str
    why: Words = NOTHING

    @property
    def expanded_percent(self) -> Decimal | None:
        """Return the expanded uncertainty in percent of the amount."""
        return None if self.variance is None else COVERAGE * self.variance.sqrt() * PERCENT


def class_percent(text: str, ladder: Ladder | None = None, category: str = "") -> Decimal | None:
    """Return a class as percent: "0.5S" is 0.5; None if there is none, or a letter the ladder gives no number for."""
    named = ladder is not None and (not ladder.categories or category in ladder.categories)
    if ladder is not None and named:
        text = ladder.equivalents.get(text, text)
    try:
        return Decimal(text.removesuffix("S"))
    except InvalidOperation:
        return None


def accuracy(instrument: Instrument, ladder: Ladder | None = None) -> Accuracy:
    """Return how accurate an instrument is by its certificate and chain.

    Its own class stands for the whole chain but transformers; without one the parts of the chain do.
    """
    parts = _parts(instrument)
    if not parts:
        return Accuracy(None, "", Words("its class is not known", "准确度等级不详"))
    variance = Decimal(0)
    with localcontext() as context:
        context.prec = DIGITS
        for name, text in parts:
            percent = class_percent(text, ladder, "" if name in TRANSFORMERS else instrument.category)
            if percent is None:
                return Accuracy(None, _text(parts), _unknown(name, text))
            variance += (percent / PERCENT) ** 2 / RECTANGULAR
    return Accuracy(variance, _text(parts))


def _unknown(part: str, text: str) -> Words:
    """Return why a class says nothing of an error. part: of the chain, "" for the instrument itself."""
    what = f"class of its {part}" if part else "its class"
    what_zh = f"{PARTS[part]}的准确度等级" if part else "准确度等级"
    if text:
        return Words(f"{what} {text} has no number", f"{what_zh} {text} 无对应数值")
    return Words(f"{what} is not known", f"{what_zh}不详")


def _parts(instrument: Instrument) -> list[tuple[str, str]]:
    if not instrument.accuracy_class:
        return [_named(part) for part in instrument.chain]
    transformers = [_named(part) for part in instrument.chain if part.part in TRANSFORMERS]
    return [("", instrument.accuracy_class), *transformers]


def _named(part: ChainPart) -> tuple[str, str]:
    return part.part, part.accuracy_class


def _text(parts: Iterable[tuple[str, str]]) -> str:
    return " + ".join(f"{name} {text or '?'}".strip() for name, text in parts)


def expanded(sensitivities: Mapping[str, Decimal], errors: Mapping[str, tuple[Decimal, Decimal]]) -> Decimal:
    """Return the expanded uncertainty of a sum in which an amount may stand several times.

    sensitivities: instrument -> sum of the factors its amount has in the sum; one that comes in and goes out cancels itself.
    errors: instrument -> (amount, variance of its relative error).
    """
    with localcontext() as context:
        context.prec = DIGITS
        total = Decimal(0)
        for id_, factor in sensitivities.items():
            amount, variance = errors[id_]
            total += (factor * amount) ** 2 * variance
        return COVERAGE * total.sqrt()


def rounded_up(value: Decimal) -> Decimal:
    """Return an uncertainty with two significant digits, rounded up. Source: JCGM 100:2008 7.2.6."""
    if not value:
        return Decimal(0)
    with localcontext() as context:
        context.prec, context.rounding = 2, "ROUND_CEILING"
        return +value
