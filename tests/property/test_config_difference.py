"""Whatever two site files hold: nothing is told of what is the same, and everything of what is not."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.difference import ENTRIES_MAX, difference

keys = st.sampled_from(["a", "b", "id", "period", "x y", "m1"])
leaves = (
    st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(["", "10s", "m1", "m2"])
    | st.floats(-1, 1).map(lambda x: x + 0.0)
)
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
entries = st.lists(
    st.builds(
        lambda own, rest: rest | {"id": own},
        st.sampled_from("pqrs"),
        st.dictionaries(keys, values, max_size=3),
    ),
    unique_by=lambda entry: entry["id"],
    max_size=4,
)
bodies = st.dictionaries(keys, values | entries, max_size=5)


def ordered(value: Any) -> Any:
    """Return a value with tables that have ids of their own in the order of these."""
    if isinstance(value, dict):
        return {key: ordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        inside = [ordered(inner) for inner in value]
        ids = [inner.get("id") if isinstance(inner, dict) else None for inner in inside]
        if all(isinstance(own, str) for own in ids) and len(set(ids)) == len(ids):
            inside.sort(key=lambda inner: inner["id"])
        return inside
    return value


def text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@given(bodies, bodies)
def test_nothing_is_told_exactly_where_nothing_differs(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert difference(before, before) == []
    same = text(ordered(before)) == text(ordered(after))
    assert (difference(before, after) == []) is same


@given(bodies, bodies)
def test_the_way_back_is_the_same_way(before: dict[str, Any], after: dict[str, Any]) -> None:
    there, back = difference(before, after), difference(after, before)
    turned = [entry | {"before": entry["after"], "after": entry["before"]} for entry in back]
    assert sorted(map(text, there)) == sorted(map(text, turned))
    paths = [entry["path"] for entry in there]
    assert len(set(paths)) == len(paths)


@given(bodies, st.lists(leaves, min_size=1, max_size=3))
def test_one_value_more_is_one_entry(body: dict[str, Any], more: list[Any]) -> None:
    longer = copy.deepcopy(body) | {"new": more}
    assert [entry["path"] for entry in difference(body, longer)] == ["new"]


@given(st.dictionaries(st.text(max_size=3), leaves, max_size=300))
def test_it_is_bounded(body: dict[str, Any]) -> None:
    found = difference({}, body)
    assert len(found) <= ENTRIES_MAX + 1
    assert len(text(found)) < 2000 * (ENTRIES_MAX + 1)
