"""What holds of every plant: an instrument more never lowers a rate, a higher limit never makes more needs, and the like."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.inventory.values import Measured
from tests.property.fitting_plants import Body, one_instrument, plants, readings
from tests.unit.fitting_rig import each_once, evidence, judge, plant, shipped

if TYPE_CHECKING:
    from gateway.fitting.outcome import Outcome, Row
    from gateway.fitting.ruleset import Limit, Ruleset

WATER = "GBT24789-2022"
Key = tuple[str, int, str]


def outcome_of(body: Body, proof: Any = None, ruleset: Ruleset | None = None) -> Outcome:
    return judge(plant(**body), proof, ruleset=ruleset, water=WATER)


def by_key(outcome: Outcome) -> dict[Key, Row]:
    rows = [*outcome.rows, *outcome.water_rows]
    found = {(row.ruleset, row.level, row.energy_kind): row for row in rows}
    assert len(found) == len(rows)
    return found


def facts(row: Row) -> tuple[Any, ...]:
    """Return what a row says in numbers and names, whatever the order of the inventory."""
    missing = sorted(one.need.flow for one in row.judged if one.counts and not one.is_fitted)
    exempt = sorted(one.need.flow for one in row.judged if one.need.exempt)
    undetermined = sorted(one.need.flow for one in row.judged if one.need.undetermined)
    counts = (row.need, row.fitted, row.connected, row.effective)
    shares = (row.rate, row.intact, row.verified, row.accurate, row.auto_collected, row.completeness)
    return (*counts, *shares, row.required, row.meets, missing, exempt, undetermined, sorted(row.surplus))


@given(plants(), st.data())
def test_an_instrument_more_never_lowers_a_rate_nor_makes_it_not_applicable(
    body: Body, drawn: st.DataObject
) -> None:
    more = drawn.draw(one_instrument("new", body["flows"]))
    before = by_key(outcome_of(body))
    after = by_key(outcome_of(body | {"instruments": [*body["instruments"], more]}))
    for key, row in before.items():
        if row.rate is not None:
            now = after[key].rate
            assert now is not None, key
            assert now >= row.rate, key


def _raised(limit: Limit, factor: Decimal) -> Limit:
    def times(amount: Measured | None) -> Measured | None:
        return None if amount is None else Measured(amount.value * factor, amount.unit)

    return limit.model_copy(update={"rated": times(limit.rated), "yearly": times(limit.yearly)})


@given(plants(), st.data())
def test_a_higher_limit_never_makes_more_needs(body: Body, drawn: st.DataObject) -> None:
    ruleset = shipped()
    chosen = drawn.draw(st.sampled_from([limit.id for limit in ruleset.limits]))
    factor = drawn.draw(st.sampled_from([Decimal("1.001"), Decimal(2), Decimal(1000)]))
    limits = tuple(_raised(one, factor) if one.id == chosen else one for one in ruleset.limits)
    before = by_key(outcome_of(body))
    after = by_key(outcome_of(body, ruleset=ruleset.model_copy(update={"limits": limits})))
    for key, row in after.items():
        assert row.need <= (before[key].need if key in before else 0), (key, chosen)


@given(plants(), st.data())
def test_the_counts_of_a_row_fit_one_another(body: Body, drawn: st.DataObject) -> None:
    proof = evidence(**drawn.draw(readings(body)))
    for row in by_key(outcome_of(body, proof)).values():
        assert row.connected is not None
        assert row.effective is not None
        assert 0 <= row.effective <= row.connected <= row.fitted <= row.need
        assert (row.rate is None) == (row.need == 0)
        assert row.meets is None or row.required is not None
        for share in (row.rate, row.intact, row.verified, row.accurate, row.auto_collected, row.covered):
            assert share is None or 0 <= share <= 1
        assert each_once(one.need.flow for one in row.judged)
        assert row.need == sum(1 for one in row.judged if one.counts)
        assert row.fitted == sum(1 for one in row.judged if one.counts and one.is_fitted)
        assert all(one.need.exempt_clause for one in row.judged if one.need.exempt)
        assert all(bool(one.advice) == (one.counts and not one.is_fitted) for one in row.judged)


@given(plants(), st.data())
def test_evidence_changes_no_rate(body: Body, drawn: st.DataObject) -> None:
    with_it = by_key(outcome_of(body, evidence(**drawn.draw(readings(body)))))
    without = by_key(outcome_of(body))
    assert with_it.keys() == without.keys()
    for key, row in without.items():
        assert (row.connected, row.effective, row.auto_collected, row.completeness) == (None,) * 4
        other = with_it[key]
        assert (row.need, row.fitted, row.rate, row.meets) == (
            other.need,
            other.fitted,
            other.rate,
            other.meets,
        )


@given(plants(), st.data())
def test_the_order_of_the_entries_says_nothing(body: Body, drawn: st.DataObject) -> None:
    seen = drawn.draw(readings(body))
    shuffled = {name: drawn.draw(st.permutations(rows)) for name, rows in body.items()}
    proof = evidence(**seen)
    first, again, other = outcome_of(body, proof), outcome_of(body, proof), outcome_of(shuffled, proof)
    assert first == again
    assert {key: facts(row) for key, row in by_key(first).items()} == {
        key: facts(row) for key, row in by_key(other).items()
    }
    assert set(first.unassigned) == set(other.unassigned)
    assert [(one.level, one.share, set(one.unknown)) for one in first.water_shares] == [
        (one.level, one.share, set(one.unknown)) for one in other.water_shares
    ]
