"""What was declared of each meter and still holds: its swaps and the newest change of each ratio.

It lies in `declared.json` in the state folder, replaced as a whole, since the journal drops its oldest events: a ratio that is
recorded must be told from the site file's, and a swap from the one before it, for as long as the meter hangs there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import orjson

from gateway.clock import local
from gateway.errors import StorageError
from gateway.state_folder import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from gateway.config.models import MeterConfig

FILE = "declared.json"
SWAPS_MAX = 20  # kept of one meter; only the newest can be taken back


class Swap(NamedTuple):
    """Another meter in the place of the old one. effective_ns: when."""

    serial: str
    effective_ns: int
    by: str
    why: str


class Ratio(NamedTuple):
    """A ratio that is another one. before, after: exact decimals as text. effective_ns: from then on."""

    before: str
    after: str
    effective_ns: int
    by: str
    why: str


class Disagreement(NamedTuple):
    """A ratio that was recorded and is not the one in force. found: the one in force. text: for people."""

    meter: str
    ratio: str
    recorded: Ratio
    found: str
    text: str


class Declared:
    """Swaps by meter, oldest first, and ratios by meter and name. problem: why the file could not be read, or ""."""

    def __init__(self, folder: Path) -> None:
        """folder: of the state. A file that cannot be read stops nothing: it counts as empty."""
        self._file = folder / FILE
        self.problem = ""
        self._swaps: dict[str, list[Swap]] = {}
        self._ratios: dict[str, dict[str, Ratio]] = {}
        try:
            self._load()
        except FileNotFoundError:
            return
        except (OSError, orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            self.problem = (
                f"{self._file} cannot be read ({error}): which swaps and ratios were recorded is not known"
            )

    def _load(self) -> None:
        body = orjson.loads(self._file.read_bytes())
        swaps = {meter: [Swap(**row) for row in rows] for meter, rows in body["swaps"].items()}
        ratios = {
            meter: {name: Ratio(**row) for name, row in rows.items()}
            for meter, rows in body["ratios"].items()
        }
        self._swaps, self._ratios = swaps, ratios

    def swaps(self, meter: str) -> list[Swap]:
        """Return the swaps of a meter that hold, oldest first."""
        return list(self._swaps.get(meter, []))

    def ratios(self, meter: str) -> dict[str, Ratio]:
        """Return ratio -> its newest change."""
        return dict(self._ratios.get(meter, {}))

    def add_swap(self, meter: str, swap: Swap) -> None:
        """Keep a swap, later than all before it."""
        self._swaps[meter] = [*self._swaps.get(meter, []), swap][-SWAPS_MAX:]

    def drop_swap(self, meter: str) -> None:
        """Forget the newest swap of a meter."""
        del self._swaps[meter][-1]

    def set_ratio(self, meter: str, name: str, ratio: Ratio) -> None:
        """Keep a change in the place of the one before it."""
        self._ratios.setdefault(meter, {})[name] = ratio

    def save(self) -> None:
        """Put all of it on disk; blocks. Raises StorageError."""
        swaps = {meter: [row._asdict() for row in rows] for meter, rows in self._swaps.items()}
        ratios = {
            meter: {name: row._asdict() for name, row in rows.items()} for meter, rows in self._ratios.items()
        }
        try:
            replace_file(
                self._file, orjson.dumps({"swaps": swaps, "ratios": ratios}, option=orjson.OPT_INDENT_2)
            )
        except OSError as error:
            raise StorageError(
                f"it is recorded in the journal, but {self._file} cannot be written: {error}. Free space, or give it to the "
                "gateway's user; without it nothing warns when the site file says otherwise"
            ) from error
        self.problem = ""

    def disagreements(
        self,
        in_force: Mapping[str, Mapping[str, str]],
        in_file: Mapping[str, Mapping[str, str]],
        zone: str,
    ) -> list[Disagreement]:
        """Return what was recorded and is not in force. in_force, in_file: meter -> ratio -> decimal as text. zone: the site's."""
        found = []
        for meter, ratios in self._ratios.items():
            for name, recorded in ratios.items():
                value = in_force.get(meter, {}).get(name)
                if value is not None and Decimal(value) != Decimal(recorded.after):
                    is_filed = name in in_file.get(meter, {})
                    text = _disagreement(meter, name, recorded, value, zone, is_filed=is_filed)
                    found.append(Disagreement(meter, name, recorded, value, text))
        return found


def ratios_of(meters: Iterable[MeterConfig]) -> dict[str, dict[str, str]]:
    """Return meter -> ratio -> decimal as text, as the site file has them."""
    return {meter.id: {name: str(value) for name, value in meter.ratios.items()} for meter in meters}


def _disagreement(meter: str, name: str, recorded: Ratio, found: str, zone: str, *, is_filed: bool) -> str:
    where = "the site file says" if is_filed else "the meter itself says"
    if is_filed:
        todo = f'write ratios.{name} = "{recorded.after}" into the table of meter {meter} and restart the gateway'
    else:
        todo = f"set {name} in meter {meter} itself"
    return (
        f"{meter}: ratio {name} was recorded as {recorded.after} instead of {recorded.before} from "
        f"{local(recorded.effective_ns, zone)} on (by {recorded.by}: {recorded.why}), but {where} {found}: {todo}; "
        f"or, if {found} is right, record that: metergate ratio {meter} {name}={found} --why TEXT"
    )
