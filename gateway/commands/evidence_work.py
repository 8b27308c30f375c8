"""What goes into an evidence pack (证据包), gathered from the site: result, reports, ledger, certificates, rules, evidence, records."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from gateway.errors import ConfigError, MetergateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.commands.fitting_work import Evaluated
    from gateway.config.models import Site
    from gateway.inspection.model import Photo
    from gateway.inventory.model import Inventory, Verification

CERTIFICATE_BYTES_MAX = 64 << 20
LANGUAGES: tuple[Literal["zh", "en"], ...] = ("zh", "en")


class Members:
    """The members of a pack. left_out: what is not in it, and why."""

    def __init__(self, found: Evaluated, made_at: str) -> None:
        """made_at: for the reports."""
        self._found, self._made_at = found, made_at
        self.files: dict[str, bytes] = {}
        self.left_out: list[str] = []

    def gather(self) -> None:
        """Take in everything there is. Raises StorageError if a record of the site is damaged."""
        self._take_result()
        self._take_reports()
        self._take_inventory()
        if self._found.site is not None:
            self._take_records(self._found.site)
        else:
            self.left_out.append("revisions, bills and inspections: no site file")

    def _json(self, name: str, body: object) -> None:
        self.files[name] = orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)

    def _take_result(self) -> None:
        from gateway.commands.balance import place_names
        from gateway.fitting.balance import balances
        from gateway.fitting.balance_rows import as_json
        from gateway.fitting.result import result

        outcome = self._found.outcome
        self._json("result.json", result(outcome) | {"revision": self._found.revision})
        for rules in filter(None, (outcome.ruleset, outcome.water_ruleset)):
            body = rules.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            self._json(f"rulesets/{rules.ruleset.id}.json", {"digest": rules.digest, "ruleset": body})
        if outcome.evidence is None:
            self.left_out.append("evidence and balance: nothing is known of the window")
            return
        self._json("evidence.json", outcome.evidence.model_dump(mode="json", by_alias=True))
        found = balances(outcome.inventory, outcome.ruleset, outcome.evidence)
        self._json("balance.json", as_json(found, place_names(outcome.inventory)))

    def _take_reports(self) -> None:
        """Take in page, workbook and diagrams; without the packages they need they are left out, and that is said."""
        from gateway.commands.fitting_files import missing_extra
        from gateway.reports.diagram import diagrams

        outcome = self._found.outcome
        for name, take in (("report", self._take_pages), ("workbook", self._take_workbook)):
            try:
                take()
            except (
                ModuleNotFoundError
            ) as error:  # whatever else fails must not be signed away as "not installed"
                self.left_out.append(f"{name}: {missing_extra(error)}")

        for language in LANGUAGES:
            for drawing in diagrams(outcome, language):
                self.files[f"diagrams/{drawing.name}.{language}.svg"] = drawing.svg.encode()

    def _take_pages(self) -> None:
        from gateway.commands.fitting_files import on_site
        from gateway.reports.page import page

        for language in LANGUAGES:
            text = page(
                self._found.outcome,
                language,
                made_at=self._made_at,
                revision=self._found.revision,
                inspections=on_site(self._found),
            )
            self.files[f"report.{language}.html"] = text.encode()

    def _take_workbook(self) -> None:
        from gateway.commands.fitting_files import on_site
        from gateway.fitting.balance import balances
        from gateway.reports.forms import write_workbook

        outcome = self._found.outcome
        known = outcome.evidence
        balance = None if known is None else balances(outcome.inventory, outcome.ruleset, known)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "workbook.xlsx"
            write_workbook(
                outcome,
                path,
                made_at=self._made_at,
                revision=self._found.revision,
                balance=balance,
                inspections=on_site(self._found),
            )
            self.files["workbook.xlsx"] = path.read_bytes()

    def _take_inventory(self) -> None:
        inventory = self._found.outcome.inventory
        body = inventory.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        self._json("inventory/inventory.json", {"digest": inventory.digest, "inventory": body})
        base = self._found.path.parent if self._found.path is not None else _usual(self._found.site)
        rows = []
        for instrument, one in _verifications(inventory):
            row: dict[str, Any] = {
                "instrument": instrument,
                "certificate": one.certificate,
                "on": one.on.isoformat(),
                "file": one.file,
                "sha256_stated": one.sha256 or None,
            }
            rows.append(row | self._certificate(one, base))
        self._json("certificates.json", rows)

    def _certificate(self, one: Verification, base: Path | None) -> dict[str, Any]:
        """Return what became of a certificate's file; if it is there it is taken in."""
        from gateway.file_reading import read_file
        from gateway.inventory.check_files import is_inside

        missing = {"sha256": None, "member": None}
        if not one.file:
            return missing | {"why": "no file is named"}
        if base is None or not is_inside(one.file):
            return missing | {"why": "it lies outside the inventory's folder, or that is not known"}
        try:
            content = read_file(base / one.file, CERTIFICATE_BYTES_MAX, one.file)
        except OSError as error:
            return missing | {"why": error.strerror or "it cannot be read"}
        except ConfigError as error:
            return missing | {"why": str(error)}
        digest = hashlib.sha256(content).hexdigest()
        member = f"certificates/{digest[:16]}-{Path(one.file).name}"
        self.files[member] = content
        why = "" if one.sha256 in ("", digest) else "it is not the file the inventory means: another SHA-256"
        return {"sha256": digest, "member": member, "why": why}

    def _take_records(self, site: Site) -> None:
        """Take in revisions, bills and inspections as they are kept; each is read first, so that damage is told here.

        Raises MetergateError for what the user may not read.
        """
        from gateway.commands.history_file import told_revision
        from gateway.evidence.bills import FILE, Bills
        from gateway.inspection.store import Inspections
        from gateway.inventory.in_force import revisions
        from gateway.inventory.revisions import FOLDER

        state = site.gateway.state_dir
        heads, told = revisions(site).heads(), told_revision(site)
        for head in heads:
            name = f"{head.number:06d}.json"
            self._take(f"inventory/revisions/{name}", state / FOLDER / name)
        if told > len(heads):
            self.left_out.append(
                f"revisions {len(heads) + 1} to {told} of the inventory: the gateway told of them, they are gone"
            )
        if Bills(state).all():
            self._take("bills.jsonl", state / FILE)
            self._json("bills-compared.json", _compared(site))
        inspections = Inspections(state)
        for one in inspections.all():
            path = inspections.path(one.number)
            self._take(f"inspections/{path.name}", path)
            for photo in one.photos:
                if photo.kept:
                    self._take_photo(inspections.photo_folder(one.number), photo)

    def _take_photo(self, folder: Path, photo: Photo) -> None:
        """Take in the copy of a photograph if it is the one that was recorded; what is gone or another one is listed."""
        name = f"inspections/{folder.name}/{photo.kept}"
        content = _read(folder / photo.kept)
        if content is None:
            self.left_out.append(f"{name} ({photo.file}): it is gone")
        elif hashlib.sha256(content).hexdigest() != photo.sha256:
            self.left_out.append(f"{name} ({photo.file}): it is not the one recorded, another SHA-256")
        else:
            self.files[name] = content

    def _take(self, name: str, path: Path) -> None:
        content = _read(path)
        if content is None:
            raise MetergateError(f"{path} is gone since it was read; run this again")
        self.files[name] = content


def _read(path: Path) -> bytes | None:
    """Return a record of the site, None if it is gone. Raises MetergateError if it may not be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MetergateError(f"{path}: {error.strerror}; run it as the gateway's user or as root") from error


def _verifications(inventory: Inventory) -> Iterator[tuple[str, Verification]]:
    for instrument in inventory.instruments:
        for one in instrument.verifications:
            yield instrument.id, one


def _usual(site: Site | None) -> Path | None:
    """Return the folder an applied inventory's files lie in: that of the file the site names."""
    return None if site is None or site.inventory.file is None else site.inventory.file.parent


def _compared(site: Site) -> list[dict[str, Any]]:
    from gateway.commands.bill import compared
    from gateway.evidence.bill_comparison import row

    return [row(one) for one in compared(site, None, None, "")]


def about(found: Evaluated, made_at: str, gateway: str, left_out: list[str]) -> dict[str, Any]:
    """Return what a manifest says besides its members."""
    from gateway import __version__
    from gateway.fitting.result import evidence_body

    outcome = found.outcome
    return {
        "gateway": gateway,
        "organization": outcome.inventory.organization.name,
        "software": __version__,
        "made_at": made_at,
        "as_of": outcome.as_of.isoformat(),
        "window": outcome.window.as_json(),
        "ruleset": {"id": outcome.ruleset.ruleset.id, "digest": outcome.ruleset.digest},
        "inventory_digest": outcome.inventory.digest,
        "revision": found.revision,
        "evidence": None if outcome.evidence is None else evidence_body(outcome.evidence),
        "left_out": left_out,
    }


def write(path: Path, pack: bytes) -> None:
    """Write a pack. Raises MetergateError."""
    from gateway.state_folder import replace_file

    try:
        replace_file(path, pack)
    except OSError as error:
        raise MetergateError(
            f"{path}: {error.strerror}; name a file in a folder that can be written"
        ) from error
