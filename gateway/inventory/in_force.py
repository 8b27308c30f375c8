"""The inventory in force: the newest applied revision, else the file the site file names, which nobody has applied yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import ConfigError, Finding
from gateway.inventory.reading import load
from gateway.inventory.revisions import FOLDER, Revisions

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.models import Site
    from gateway.inventory.model import Inventory


@dataclass(frozen=True, slots=True)
class InForce:
    """An inventory and where it is from. revision: None if it is not an applied one; path: None if it is."""

    inventory: Inventory
    revision: int | None
    path: Path | None

    @property
    def text(self) -> str:
        """Return where it is from in words."""
        return (
            f"revision {self.revision}" if self.revision is not None else f"{self.path}, not applied 未批准"
        )


def revisions(site: Site) -> Revisions:
    """Return the applied revisions of a site."""
    return Revisions(site.gateway.state_dir / FOLDER)


def in_force(site: Site | None, given: Path | None) -> InForce:
    """Return the inventory to go by. given: a file that is taken instead of what was applied.

    Raises ConfigError with findings, StorageError if the applied revisions are damaged.
    """
    if given is not None:
        return InForce(load(given), None, given)
    if site is not None:
        newest = revisions(site).newest()
        if newest is not None:
            return InForce(newest.inventory, newest.number, None)
        if site.inventory.file is not None:
            return InForce(load(site.inventory.file), None, site.inventory.file)
    hint = (
        "write one beside the site file (docs/how-to/keep-an-inventory.md), or name it with --inventory FILE"
    )
    raise ConfigError([Finding("inventory.file", "no inventory", "the ledger of instruments 台账", hint)])
