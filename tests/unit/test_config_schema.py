"""What is generated from the models is fresh, and says the same as the models and the specification."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from drivers import profiles
from gateway.config import schema as config_schema
from gateway.config.base import Table
from gateway.config.models import Site
from gateway.energy_kinds import ENERGY_KINDS, plausible
from tests.unit.config_site import SITE, changed

ROOT = Path(__file__).resolve().parents[2]
SPEC = (ROOT / "docs" / "specs" / "site-file.md").read_text(encoding="utf-8")
MODELS = [
    model
    for model in Table.__subclasses__()
    if model is not Site and model.__module__.startswith("gateway.config.")
]


def keys(model: type[Any]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def all_models() -> list[type[Any]]:
    """Return the tables a site file has: those no other table is derived from."""

    def leaves(model: type[Any]) -> list[type[Any]]:
        return [leaf for inner in model.__subclasses__() for leaf in leaves(inner)] or [model]

    return [leaf for model in MODELS for leaf in leaves(model)]


def paths(body: Any, place: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Return the place of every key; ids of channels and entries of lists are left out."""
    if isinstance(body, list):
        return {path for item in body for path in paths(item, place)}
    found = set()
    for key, value in body.items() if isinstance(body, dict) else ():
        found.add((*place, key))
        inside = list(value.values()) if key in {"override", "variables"} else value
        if key not in {"ratios", "labels"}:
            found |= paths(inside, (*place, key))
    return found


def test_schema_and_page_are_fresh() -> None:
    hint = "run `make schema`"
    assert config_schema.SCHEMA.read_text(encoding="utf-8") == config_schema.schema_text(), hint
    page = config_schema.PAGE.read_text(encoding="utf-8")
    assert config_schema.page_text(page) == page, hint


def test_the_page_of_meter_types_is_fresh_and_names_each_once() -> None:
    page = config_schema.PROFILES_PAGE.read_text(encoding="utf-8")
    assert config_schema.profiles_page_text(page) == page, "run `make schema`"
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| .* \| (?:modbus|opcua|dlt645|cjt188) \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(profiles.Library([profiles.shipped_dir()]).ids())


def test_the_page_has_every_key_of_every_table() -> None:
    page = config_schema.PAGE.read_text(encoding="utf-8")
    sections = [set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) for part in page.split("\n## ")]
    for model in all_models():
        assert keys(model) in sections or not keys(model), model


def test_every_key_is_described() -> None:
    models: list[type[Any]] = [*all_models(), Site]
    for model in models:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_the_specification_names_the_same_keys() -> None:
    (toml,) = re.findall(r"```toml\n(.*?)```", SPEC, re.DOTALL)
    schema = config_schema.schema()
    specified = paths(tomllib.loads(toml))

    def walk(part: dict[str, Any], place: tuple[str, ...]) -> set[tuple[str, ...]]:
        found: set[tuple[str, ...]] = set()
        inner = [
            part,
            *part.get("oneOf", []),
            *part.get("anyOf", []),
            *part.get("patternProperties", {}).values(),
        ]
        inner += [part["items"], *part["items"].get("oneOf", [])] if "items" in part else []
        for ref in inner:
            table = schema["$defs"][ref["$ref"].rpartition("/")[2]] if "$ref" in ref else {}
            for key, field in table.get("properties", {}).items():
                found |= {(*place, key)} | walk(field, (*place, key))
        return found

    modelled: set[tuple[str, ...]] = {(key,) for key in schema["properties"]}
    for key, field in schema["properties"].items():
        modelled |= walk(field, (key,))
    only_alternatives = {
        ("sinks", "password_credential"),
        ("sinks", "token_credential"),
        ("links", "password_credential"),
    }
    assert specified - modelled == set()
    assert modelled - specified == only_alternatives


def test_the_schema_accepts_what_load_accepts() -> None:
    schema = config_schema.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(tomllib.loads(SITE))
    validator.validate(tomllib.loads((ROOT / "config" / "site.example.toml").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('period = "10s"', "period = 10"),
        ('period = "10s"', 'period = "10m"'),
        ('energy_kind = "water"', 'energy_kind = "tea"'),
        ('kind = "mqtt"', 'kind = "kafka"'),
        ("unit = 1", "unit = 300"),
        ('host = "10.0.0.1"', 'hots = "10.0.0.1"'),
        ('host = "10.0.0.1"', 'host = "tcp://10.0.0.1"'),
        ('unit = "m3"', 'unti = "m3"'),
    ],
)
def test_the_schema_refuses_what_load_refuses(old: str, new: str) -> None:
    validator = jsonschema.Draft202012Validator(config_schema.schema())
    assert not validator.is_valid(tomllib.loads(changed((old, new))))


def test_energy_kinds_are_the_specified_ones() -> None:
    text = (ROOT / "docs" / "specs" / "energy-kinds.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (.+) \|$", text, re.MULTILINE)
    assert [(key, (zh, en)) for key, zh, en in rows] == list(ENERGY_KINDS.items())


def test_every_medium_carries_known_kinds() -> None:
    from drivers.profiles.check import MEDIA

    for medium in MEDIA:
        assert (plausible(medium) < set(ENERGY_KINDS)) == (medium != "any"), medium
    assert plausible("something new") == set(ENERGY_KINDS)
