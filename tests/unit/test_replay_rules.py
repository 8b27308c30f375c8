"""What is kept of a replay: enough to explain its revision when the profile has been corrected again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.errors import StorageError
from gateway.layout import Layout
from gateway.replay.rules import FILE, Rule, Rules
from tests.unit.journal_rig import small_layout

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = small_layout()
AFTER = replace(small_layout(coefficient="1"), profile="new@1")


def test_a_rule_has_its_layout_whole(tmp_path: Path) -> None:
    rule = Rule("m-1", 10, 20, BEFORE.digest, AFTER.digest, 1, AFTER.to_dict())
    rules = Rules(tmp_path)
    rules.add(rule)
    rules.add(rule._replace(from_ns=30, to_ns=40, rev=2))
    again = Rules(tmp_path).newest("m-1", BEFORE.digest, 10, 20)
    assert again is not None
    assert again[:6] == rule[:6]
    assert again.layout is not None
    assert Layout.from_dict(again.layout).digest == again.after
    assert (tmp_path / FILE).read_text().count('"power_0"') == 1, "a layout is there once"


def test_a_file_of_rules_without_layouts_is_read(tmp_path: Path) -> None:
    old = {"meter": "m-1", "from_ns": 1, "to_ns": 2, "before": "a", "after": "b", "rev": 7}
    (tmp_path / FILE).write_bytes(orjson.dumps([old]))
    rules = Rules(tmp_path)
    assert rules.next_rev("m-1") == 8
    rules.add(Rule("m-1", 1, 2, BEFORE.digest, AFTER.digest, 8, AFTER.to_dict()))
    assert Rules(tmp_path).next_rev("m-1") == 9


@pytest.mark.parametrize(
    "body", [b"{", b'{"rules": 5}', b"[1]", b'{"rules": [{"meter": "m"}], "layouts": {}}']
)
def test_a_spoilt_file_fails_the_replay_and_not_the_start(tmp_path: Path, body: bytes) -> None:
    (tmp_path / FILE).write_bytes(body)
    rules = Rules(tmp_path)
    with pytest.raises(StorageError, match="cannot be read"):
        rules.next_rev("m-1")
