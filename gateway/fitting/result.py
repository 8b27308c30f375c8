"""The documented JSON of an evaluation: docs/specs/fitting.md. Pure; rates as decimal strings rounded down, so that none looks met that is not."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, cast

from gateway.fitting.ruleset import SWITCHES

if TYPE_CHECKING:
    from fractions import Fraction

    from gateway.fitting.evidence import Evidence
    from gateway.fitting.outcome import Judged, Outcome, Row, ShareRow, Standing
    from gateway.fitting.result_shape import (
        AboutBody,
        EvidenceBody,
        ExemptBody,
        InterpretationBody,
        MissingBody,
        RateBody,
        ResultBody,
        ShareBody,
        StandingBody,
        SupersededBody,
        Verification,
        WaterBody,
        WindowBody,
    )
    from gateway.fitting.ruleset import Level, Ruleset

PLACES = Decimal("0.0001")


def percent(share: Fraction | None) -> float | None:
    """Return a share in %, rounded down to four places; None stays None."""
    return None if share is None else float(rounded_down(share, PLACES))


def rounded_down(share: Fraction, step: Decimal) -> Decimal:
    """Return a share in %, exactly rounded down to a multiple of `step`: what is not reached never looks reached."""
    top, bottom = step.as_integer_ratio()
    return Decimal(share.numerator * 100 * bottom // (share.denominator * top)) * step


def result(outcome: Outcome, revision: int | None = None) -> ResultBody:
    """Return the whole result as plain JSON values. revision: of the inventory, None: not applied."""
    inventory, evidence = outcome.inventory, outcome.evidence
    return {
        "organization": inventory.organization.name,
        "ruleset": about(outcome.ruleset),
        "superseded": superseded(outcome),
        "inventory_digest": inventory.digest,
        "revision": revision,
        "as_of": outcome.as_of.isoformat(),
        "window": cast("WindowBody", outcome.window.as_json()),
        "statistics_year": inventory.organization.statistics_year,
        "evidence": None if evidence is None else evidence_body(evidence),
        "good_percent_min": _float(
            None if outcome.ruleset.proof is None else outcome.ruleset.proof.good_percent
        ),
        "user_class": outcome.user_class or None,
        "interpretations": interpretations(outcome),
        "doubts": list(outcome.doubts),
        "rates": [row_body(row) for row in outcome.rows],
        "water": _water(outcome),
        "unassigned": list(outcome.unassigned),
        "instruments": {name: standing_body(one) for name, one in outcome.standings.items()},
    }


def evidence_body(evidence: Evidence) -> EvidenceBody:
    """Return where the evidence is from: by its own words, and by what the program knows of it."""
    origin = evidence.origin
    return {
        "source": evidence.source,
        "timezone": evidence.timezone,
        "origin": origin.kind,
        "sha256": origin.sha256 or None,
    }


def about(ruleset: Ruleset) -> AboutBody:
    """Return which ruleset it is."""
    meta = ruleset.ruleset
    return {"id": meta.id, "title": meta.title, "title_zh": meta.title_zh, "digest": ruleset.digest}


def superseded(outcome: Outcome) -> SupersededBody | None:
    """Return since when and by what the ruleset is superseded, None if it is not."""
    meta = outcome.ruleset.ruleset
    if meta.superseded_on is None or outcome.as_of < meta.superseded_on:
        return None
    return {
        "on": meta.superseded_on.isoformat(),
        "by": meta.superseded_by,
        "note": outcome.doubts[0] if outcome.doubts else "",
    }


def interpretations(outcome: Outcome) -> list[InterpretationBody]:
    """Return how every question the standards leave open is answered, of water beside the main one."""
    found: list[InterpretationBody] = []
    for ruleset in (outcome.ruleset, outcome.water_ruleset):
        for switch in SWITCHES if ruleset is not None else ():
            assert ruleset is not None
            stated = ruleset.interpretations.get(switch)
            found.append(
                {
                    "ruleset": ruleset.ruleset.id,
                    "switch": switch,
                    "choice": ruleset.choice(switch),
                    "text": "" if stated is None else stated.text,
                    "text_zh": "" if stated is None else stated.text_zh,
                    "clause": "" if stated is None else stated.clause,
                }
            )
    return found


def row_body(row: Row) -> RateBody:
    """Return one energy kind at one level."""
    return {
        "ruleset": row.ruleset,
        "energy_kind": row.energy_kind,
        "level": cast("Level", row.level),
        "need": row.need,
        "fitted": row.fitted,
        "connected": row.connected,
        "effective": row.effective,
        "rate_percent": percent(row.rate),
        "required_percent": _float(row.required),
        "meets": row.meets,
        "intact_percent": percent(row.intact),
        "verified_percent": percent(row.verified),
        "accurate_percent": percent(row.accurate),
        "auto_collected_percent": percent(row.auto_collected),
        "completeness_percent": percent(row.completeness),
        "completeness_of": row.completeness_of,
        "covered_percent": percent(row.covered),
        "clauses": list(row.clauses),
        "confidence": row.confidence or None,
        "conflict": row.conflict or None,
        "missing": [missing_body(one) for one in row.judged if one.counts and not one.is_fitted],
        "exempt": [exempt_body(one) for one in row.judged if one.need.exempt],
        "surplus": list(row.surplus),
        "undetermined": [
            {"flow": one.need.flow, "why": one.need.undetermined}
            for one in row.judged
            if one.need.undetermined
        ],
    }


def missing_body(judged: Judged) -> MissingBody:
    """Return a needed flow without instrument."""
    need = judged.need
    return {
        "flow": need.flow,
        "owners": list(need.owners),
        "because": need.because,
        "clause": need.clause,
        "advice": judged.advice,
    }


def exempt_body(judged: Judged) -> ExemptBody:
    """Return a flow that needs no instrument, with the ground. counted: it keeps its row (docs/specs/fitting.md)."""
    need = judged.need
    return {
        "flow": need.flow,
        "owners": list(need.owners),
        "ground": need.exempt,
        "clause": need.exempt_clause,
        "rests_on": list(need.rests_on),
        "counted": need.kept,
    }


def standing_body(one: Standing) -> StandingBody:
    """Return how one instrument stands."""
    return {
        "fitted": one.is_fitted,
        "connected": one.is_connected,
        "effective": one.is_effective,
        "intact": one.is_intact,
        "verification": cast("Verification", one.verification),
        "accurate": one.is_accurate,
        "confirmed": one.is_confirmed,
        "good_percent": percent(one.good_share),
        "accuracy_class": one.stated_class or None,
        "required_class": one.required_class or None,
        "required_clause": one.required_clause or None,
        "required_unknown": one.required_unknown or None,
        "why": list(one.why),
    }


def _water(outcome: Outcome) -> WaterBody | None:
    """Return what the ruleset of water says: its rates and its shares by quantity; None without such a ruleset."""
    ruleset = outcome.water_ruleset
    if ruleset is None:
        return None
    return {
        "ruleset": about(ruleset),
        "rates": [row_body(row) for row in outcome.water_rows],
        "shares": [share_body(row) for row in outcome.water_shares],
    }


def share_body(row: ShareRow) -> ShareBody:
    """Return the metered share of water at one level."""
    return {
        "ruleset": row.ruleset,
        "energy_kind": row.energy_kind,
        "level": cast("Level", row.level),
        "total": _text(row.total),
        "metered": _text(row.metered),
        "unit": row.unit or None,
        "share_percent": percent(row.share),
        "required_percent": _float(row.required),
        "meets": row.meets,
        "clauses": list(row.clauses),
        "confidence": row.confidence,
        "unknown": list(row.unknown),
    }


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
