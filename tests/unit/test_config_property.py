"""Whatever a file contains, `load` gives a Site or a ConfigError with findings, and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.site_file import from_toml, report, to_json
from gateway.errors import ConfigError
from tests.unit.config_site import SITE
from tests.unit.test_config_periods import RIGHT

EXAMPLE = (Path(__file__).resolve().parents[2] / "config" / "site.example.toml").read_text(encoding="utf-8")
LINES = [line for line in (RIGHT + EXAMPLE).splitlines() if line.strip()]
NOWHERE = Path("/nonexistent/site.toml")

WORDS = """id name kind host url link unit profile period channels ratios override variables labels password token tls
gateway site journal links meters sinks feed mqtt opcua modbus-tcp eastron-sdm630 10s * x
intervals length day_start shifts tariffs hours months start end history keep aggregates terms meter channel sign weight
feed-influx region enterprise energy_active_import_total feeder-1 15min 08:00 08:00-12:00"""
words = st.sampled_from(sorted(WORDS.split()))
scalars = st.one_of(
    words.map(lambda word: f'"{word}"'),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["true", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "0xffffffffffffffffffff", "''"]
    ),
    st.text(st.characters(exclude_characters="'", exclude_categories=["C"]), max_size=20).map(
        lambda t: f"'{t}'"
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(words, inner, max_size=3).map(
            lambda d: "{" + ", ".join(f'"{key}" = {value}' for key, value in d.items()) + "}"
        ),
    ),
    max_leaves=6,
)
lines = st.one_of(
    st.sampled_from(LINES),
    st.tuples(words, values).map(lambda pair: f'"{pair[0]}" = {pair[1]}'),
    words.map(lambda word: f"[{word}]"),
    words.map(lambda word: f"[[{word}]]"),
    st.text(max_size=30),
)


def accepts_or_refuses(text: str) -> None:
    try:
        site = from_toml(text, NOWHERE)
    except ConfigError as error:
        findings = error.findings
    else:
        assert site.digest
        return
    assert findings
    assert report(findings)
    for finding in to_json(findings):
        assert finding["path"]
        assert finding["found"]
        assert finding["expected"]
        assert all("\n" not in words for words in finding.values())


@settings(max_examples=80, deadline=None)
@given(st.lists(lines, max_size=20).map("\n".join))
def test_arbitrary_lines(text: str) -> None:
    accepts_or_refuses(text)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([SITE, EXAMPLE, RIGHT]), st.data())
def test_mutations_of_a_good_file(text: str, data: st.DataObject) -> None:
    """Lines are lost, doubled, moved and replaced."""
    rows = text.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(rows) - 1))
        key = rows[at].partition("=")[0]
        rows[at : at + 1] = data.draw(
            st.one_of(
                st.just([]),
                st.just([rows[at]] * 2),
                lines.map(lambda line: [line]),
                values.map(lambda value: [f"{key}= {value}"]),  # noqa: B023 - drawn at once
            )
        )
    accepts_or_refuses("\n".join(rows))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_value_may_stand_anywhere(data: st.DataObject) -> None:
    """One value of a good file is replaced by any other, tables included."""
    body = tomllib.loads(SITE)
    part: Any = body
    while True:
        key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        if not isinstance(part[key], (dict, list)) or not part[key] or data.draw(st.booleans()):
            break
        part = part[key]
    part[key] = tomllib.loads(f"x = {data.draw(values)}")["x"]
    accepts_or_refuses(toml(body))


def toml(body: Any) -> str:
    """Return a dictionary as TOML, every table inline."""
    return "\n".join(f"{key} = {inline(value)}" for key, value in body.items())


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {inline(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)
