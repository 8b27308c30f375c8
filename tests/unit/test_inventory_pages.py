"""What is generated from the inventory's models is fresh, and says the same as what `load` takes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.inventory import model, pages
from gateway.inventory.sheets import SHEETS
from tests.unit.inventory_plant import PLANT, changed

ROOT = Path(__file__).resolve().parents[2]


def test_schema_and_page_are_fresh() -> None:
    assert pages.SCHEMA.read_text(encoding="utf-8") == pages.schema_text(), "run `make schema`"
    page = pages.PAGE.read_text(encoding="utf-8")
    assert pages.page_text(page) == page, "run `make schema`"


def test_the_page_has_every_key_and_every_sheet() -> None:
    page = pages.PAGE.read_text(encoding="utf-8")
    parts = [set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) for part in page.split("\n### ")]
    for name in pages.schema()["$defs"]:
        table = getattr(model, name)
        keys = {field.alias or key for key, field in table.model_fields.items()}
        assert keys in parts or any(keys < part for part in parts), name
    assert all(f"| {sheet.title} |" in page for sheet in SHEETS)


def _plain(body: Any) -> Any:
    """Return TOML's values as JSON has them."""
    if isinstance(body, dict):
        return {key: _plain(value) for key, value in body.items()}
    if isinstance(body, list):
        return [_plain(value) for value in body]
    return body if isinstance(body, (str, int, float, bool)) else str(body)


def _validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(pages.schema())
    return jsonschema.Draft202012Validator(pages.schema())


@pytest.mark.parametrize(
    "text", [PLANT, (ROOT / "config" / "inventory.example.toml").read_text(encoding="utf-8")]
)
def test_the_schema_accepts_what_load_accepts(text: str) -> None:
    _validator().validate(_plain(tomllib.loads(text)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('status = "limited"', 'status = "bad"'),
        ('energy_kind = "coal"', 'energy_kind = "peat"'),
        ('"75 kW"', '"75"'),
        ("period_months = 24", "period_months = 0"),
        ('own_number = "E-002"', 'own_nummer = "E-002"'),
        ('id = "em-102"', 'id = "EM 102"'),
        ('from = "organization"\n', ""),
    ],
)
def test_the_schema_refuses_what_load_refuses(old: str, new: str) -> None:
    assert not _validator().is_valid(_plain(tomllib.loads(changed((old, new)))))
