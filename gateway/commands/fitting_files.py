"""Reports written into files: the page, the workbook, the diagrams. What they need is an extra and imported only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gateway.errors import MetergateError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.commands.fitting_work import Evaluated
    from gateway.inspection.summary import OnSite

Language = Literal["zh", "en"]


def write_page(found: Evaluated, path: Path, language: Language) -> Path:
    """Write the report as one HTML file. Raises MetergateError if that cannot be."""
    from gateway.reports.page import page

    try:
        text = page(
            found.outcome, language, made_at=_now(found), revision=found.revision, inspections=on_site(found)
        )
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    _write(path, text)
    return path


def write_workbook_file(found: Evaluated, path: Path) -> Path:
    """Write the forms as an Excel workbook. Raises MetergateError if that cannot be."""
    from gateway.fitting.balance import balances

    try:
        from gateway.reports.forms import write_workbook
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    outcome = found.outcome
    known = outcome.evidence
    balance = None if known is None else balances(outcome.inventory, outcome.ruleset, known)
    try:
        write_workbook(
            outcome,
            path,
            made_at=_now(found),
            revision=found.revision,
            balance=balance,
            inspections=on_site(found),
        )
    except OSError as error:
        raise _refused(path, error) from error
    return path


def write_diagrams(found: Evaluated, folder: Path, language: Language) -> list[Path]:
    """Write the diagrams of each energy kind into a folder, made if it is not there. Raises MetergateError if that cannot be."""
    from gateway.reports.diagram import diagrams

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(folder, error) from error
    written = []
    for drawing in diagrams(found.outcome, language):
        path = folder / f"{drawing.name}.svg"
        _write(path, drawing.svg)
        written.append(path)
    return written


def on_site(found: Evaluated) -> list[OnSite]:
    """Return the inspections of the site, none without one. Raises StorageError if one is damaged or may not be read."""
    from gateway.inspection.store import Inspections
    from gateway.inspection.summary import summary

    if found.site is None:
        return []
    kept = Inspections(found.site.gateway.state_dir).all()
    return [summary(one, found.site.site.timezone) for one in kept]


def missing_extra(error: ModuleNotFoundError) -> MetergateError:
    """Return what to do when the packages of reports are not installed. Raises the error itself where it is a module of ours."""
    if (error.name or "").partition(".")[0] in {"gateway", "drivers"}:
        raise error
    return MetergateError(
        f"{error.name} is not installed; reports need: pip install 'metergate[report]', or make env in a clone"
    )


def _now(found: Evaluated) -> str:
    from gateway.clock import SystemClock, local

    evidence = found.outcome.evidence
    zone = found.site.site.timezone if found.site is not None else evidence.timezone if evidence else ""
    return local(SystemClock().wall_ns(), zone or "UTC")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> MetergateError:
    return MetergateError(f"{path}: {error.strerror or error}; name a file in a folder that can be written")
