"""Supplier bills (供能账单) as somebody entered them: `<state_dir>/bills.jsonl`, which only grows; a correction is a new line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from gateway.chained_file import ChainedFile
from gateway.config.base import Table
from gateway.config.values import EnergyKind
from gateway.errors import MetergateError, StorageError
from gateway.fitting.evidence import Window
from gateway.inventory.model import OUTSIDE, Rows
from gateway.inventory.values import ClassText, RequiredDay, Yearly

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.chained_file import Entry
    from gateway.inventory.model import Inventory

FILE = "bills.jsonl"


class Bill(Table):
    """One bill, of one energy kind over whole days."""

    model_config = ConfigDict(serialize_by_alias=True)

    energy_kind: EnergyKind = Field(description="Energy kind.")
    first: RequiredDay = Field(alias="from", description="First day it is of.")
    last: RequiredDay = Field(alias="to", description="Last day it is of, included.")
    amount: Yearly = Field(description="What it charges, as 850000 kWh.")
    supplier: str = Field(min_length=1, description="Who supplied.")
    number: str = Field(min_length=1, description="Number of the bill.")
    flows: Rows[str] = Field(min_length=1, description="Flows of the inventory it is of.")
    document: str = Field(default="", description="Where the paper is.")
    supplier_class: ClassText = Field(
        default="", description="Class of the supplier's meter, if it is known."
    )
    replaces: int | None = Field(default=None, description="Number of the entry it puts right.")
    by: str = Field(min_length=1, description="Who entered it.")
    why: str = Field(default="", description="Why it was entered, or put right.")
    entered_ns: int = Field(description="When, ns since 1970.")

    @property
    def window(self) -> Window:
        """Return the days it is of."""
        return Window(self.first, self.last)


class Entered(NamedTuple):
    """A bill with its place in the file. replaced_by: number of the entry that put it right, 0 if it holds."""

    number: int
    digest: str
    bill: Bill
    replaced_by: int = 0


class Bills:
    """The bills of a site."""

    def __init__(self, state_dir: Path) -> None:
        """state_dir: of the gateway."""
        self._file = ChainedFile(state_dir / FILE)

    def all(self) -> list[Entered]:
        """Return every entry in the order of entering. Raises StorageError if the file is damaged."""
        return self._read(self._file.entries())

    def standing(self) -> list[Entered]:
        """Return the entries that hold: those nobody put right. Raises StorageError."""
        return [one for one in self.all() if not one.replaced_by]

    def enter(self, bill: Bill) -> Entered:
        """Keep a bill. Raises MetergateError if it puts right what does not hold, or is there already; StorageError."""
        with self._file.held() as entries:
            known = {one.number: one for one in self._read(entries)}
            _refuse_replacing(bill, known)
            for one in known.values():
                same = (one.bill.supplier, one.bill.number) == (bill.supplier, bill.number)
                if same and not one.replaced_by and one.number != bill.replaces:
                    raise MetergateError(
                        f"bill {bill.number} of {bill.supplier} was entered already, as entry {one.number}; "
                        f"to put it right enter it with --replaces {one.number}"
                    )
            (made,) = self._file.add(entries, bill.model_dump(mode="json", by_alias=True))
        return Entered(made.number, made.digest, bill)

    def _read(self, entries: list[Entry]) -> list[Entered]:
        found = []
        for entry in entries:
            try:
                found.append(Entered(entry.number, entry.digest, Bill.model_validate(entry.body)))
            except ValidationError as error:
                raise StorageError(
                    f"{self._file.path} line {entry.number} is no bill: written by another version?"
                ) from error
        gone = {one.bill.replaces: one.number for one in found if one.bill.replaces is not None}
        return [one._replace(replaced_by=gone.get(one.number, 0)) for one in found]


def _refuse_replacing(bill: Bill, known: dict[int, Entered]) -> None:
    """Raise MetergateError if a bill puts right an entry that is not there or does not hold."""
    if bill.replaces is None:
        return
    replaced = known.get(bill.replaces)
    if replaced is None:
        raise MetergateError(f"there is no entry {bill.replaces}: `metergate bill list` shows them")
    if replaced.replaced_by:
        raise MetergateError(
            f"entry {bill.replaces} was put right already by entry {replaced.replaced_by}: replace that one"
        )


def refuse_unfit(bill: Bill, inventory: Inventory) -> None:
    """Raise MetergateError unless a bill's flows are of its kind and go over the boundary, all the same way."""
    flows = {flow.id: flow for flow in inventory.flows}
    if bill.last < bill.first:
        raise MetergateError(f"--to {bill.last} is before --from {bill.first}")
    boundary = [
        flow.id for flow in inventory.flows if flow.energy_kind == bill.energy_kind and OUTSIDE in flow.ends
    ]
    for id_ in bill.flows:
        if id_ not in boundary:
            what = (
                "is not in the inventory"
                if id_ not in flows
                else f"is no {bill.energy_kind} over the boundary"
            )
            raise MetergateError(f'flow "{id_}" {what}; there are: {", ".join(boundary) or "none"}')
    if len({flows[id_].from_end == OUTSIDE for id_ in bill.flows}) > 1:
        raise MetergateError("a bill is of what comes in or of what goes out: enter two")
