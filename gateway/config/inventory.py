"""`[inventory]`: where the ledger of measuring instruments (计量器具台账) lies, and the rules it is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from gateway.config.base import Table
from gateway.config.files import file_findings
from gateway.config.values import File, Folders, as_tuple
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config.draft import Entry

DEFAULT_FILE = "inventory.toml"
RULESET = "GB17167-2006"


def _usual(value: object, info: ValidationInfo) -> object:
    """Return what is named; where nothing is, the usual file beside the site file (context `base`) if it is there."""
    base: Path | None = (info.context or {}).get("base")
    if value != "" or base is None:
        return value
    usual = base / DEFAULT_FILE
    return usual if usual.is_file() else value


class InventoryConfig(Table):
    """`[inventory]`: the ledger of measuring instruments, and the rules it is held against."""

    file: Annotated[File, BeforeValidator(_usual), WithJsonSchema({"type": "string"})] = Field(
        default="",
        validate_default=True,
        description="The inventory (.toml, .json or .xlsx); empty: `inventory.toml` beside the site file, if it is there.",
    )
    ruleset: str = Field(
        default=RULESET, min_length=1, description="Id of the ruleset the fitting rates (配备率) follow."
    )
    water_ruleset: str = Field(
        default="", description="Id of the ruleset of water; empty: the one the ruleset itself names."
    )
    ruleset_dirs: Folders = Field(
        default=(), description="Folders of your own rulesets, searched before those shipped."
    )
    remind_days: Annotated[
        tuple[Annotated[int, Field(ge=0, le=3650)], ...], BeforeValidator(as_tuple), Field(max_length=12)
    ] = Field(
        default=(90, 30, 7),
        description="So many days before a verification (检定) ends an event reminds of it.",
    )


def inventory_findings(entry: Entry[InventoryConfig]) -> Iterator[Finding]:
    """Yield what `[inventory]` names and is not there."""
    if entry.value is None:
        return
    if entry.body.get("file"):
        yield from file_findings("inventory.file", entry.value.file, "an inventory: .toml, .json or .xlsx")
    for i, folder in enumerate(entry.value.ruleset_dirs, 1):
        if not folder.is_dir():
            yield Finding(
                f"inventory.ruleset_dirs[{i}]",
                f"no folder {folder}",
                "a folder",
                "create it, or correct the path",
            )
