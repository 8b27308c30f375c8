"""An inventory reads back equal from TOML, from a workbook and from a revision, whatever it holds."""

from __future__ import annotations

import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hypothesis import given, settings

from gateway.inventory.changes import changes
from gateway.inventory.reading import from_body, load
from gateway.inventory.revisions import Revisions
from gateway.inventory.toml_text import toml_text
from gateway.inventory.workbook import write_workbook
from tests.property.inventories import ANY_TEXT, CELL_TEXT, inventories

if TYPE_CHECKING:
    from gateway.inventory.model import Inventory


@given(inventories(ANY_TEXT))
def test_toml_reads_back_equal(inventory: Inventory) -> None:
    back = from_body(tomllib.loads(toml_text(inventory)), "x")
    assert back == inventory
    assert back.digest == inventory.digest


@settings(max_examples=25, deadline=None)
@given(inventories(CELL_TEXT))
def test_a_workbook_reads_back_equal(inventory: Inventory) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "ledger.xlsx")
        write_workbook(inventory, path)
        back = load(path)
    assert back == inventory
    assert back.digest == inventory.digest


@settings(max_examples=30, deadline=None)
@given(inventories(ANY_TEXT), inventories(ANY_TEXT))
def test_a_revision_reads_back_equal_and_changes_tell_every_difference(
    before: Inventory, after: Inventory
) -> None:
    with TemporaryDirectory() as folder:
        kept = Revisions(Path(folder, "inventory"))
        kept.add(before, "a", "b", 1)
        assert kept.at(1).inventory == before
    assert bool(changes(before, after)) == (before.digest != after.digest)
