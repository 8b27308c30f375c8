"""Records that only grow: every change of a line is told, whoever made it and wherever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.chained_file import ChainedFile
from gateway.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


def _file(folder: Path) -> ChainedFile:
    file = ChainedFile(folder / "deep" / "records.jsonl")
    file.append({"a": 1})
    file.append({"b": "二"}, {"c": None})
    return file


def test_records_come_back_in_order_and_are_chained(tmp_path: Path) -> None:
    entries = _file(tmp_path).entries()
    assert [entry.body for entry in entries] == [{"a": 1}, {"b": "二"}, {"c": None}]
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert [entry.prev for entry in entries] == ["", entries[0].digest, entries[1].digest]
    assert ChainedFile(tmp_path / "none").entries() == []


@pytest.mark.parametrize(
    ("line", "change", "said"),
    [
        (1, lambda one: one | {"body": {"a": 2}}, "line 1 is damaged: it was changed"),
        (3, lambda one: one | {"body": {"c": 0}}, "line 3 is damaged: it was changed"),
        (2, lambda one: one | {"prev": ""}, "line 2 is damaged: it does not follow"),
        (2, lambda one: one | {"number": 9}, "line 2 is damaged: it has number 9"),
        (2, lambda one: one | {"more": 1}, "line 2 is damaged: it cannot be read"),
    ],
)  # fmt: skip
def test_change_is_told_and_nothing_is_added(tmp_path: Path, line: int, change: object, said: str) -> None:
    file = _file(tmp_path)
    lines = file.path.read_bytes().splitlines()
    lines[line - 1] = orjson.dumps(change(orjson.loads(lines[line - 1])))  # type: ignore[operator]
    file.path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(StorageError, match=said):
        file.entries()
    with pytest.raises(StorageError, match=said):
        file.append({"d": 1})
    assert file.path.read_bytes().splitlines() == lines


def test_line_taken_out_and_a_cut_line_are_told(tmp_path: Path) -> None:
    file = _file(tmp_path)
    lines = file.path.read_bytes().splitlines()
    file.path.write_bytes(b"\n".join([lines[0], lines[2]]))
    with pytest.raises(StorageError, match="line 2 is damaged: it has number 3"):
        file.entries()
    file.path.write_bytes(b"\n".join(lines)[:-9])
    with pytest.raises(StorageError, match="line 3 is damaged: it cannot be read"):
        file.entries()
