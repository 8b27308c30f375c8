"""What a verifier says in the end: what only the whole of a chain shows, and the figures, as plain JSON."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.feed.findings import Findings, Severity
    from gateway.feed.verify_state import Gateway, Links

COUNT_MAX = 2**53 - 1  # JSON numbers are exact up to here
_BEFORE = "not in this recording; it may have been sent before the recording began"


def conclude(gateway: Gateway, links: Links, findings: Findings) -> None:
    """Add what only the whole of a chain shows."""
    chain = links.chain
    add = partial(findings.add, site=chain.site, chain=chain.id)
    holes = list(chain.holes())
    for first, last, line, before in holes:
        what = f"message {first} is" if first == last else f"messages {first}–{last} are"
        text = f"{what} {_BEFORE if before else 'missing'}"
        severity: Severity = "notice" if before else "finding"
        add("gap", text, seq=first, line=line, severity=severity)
    for first, last, line, kid in chain.unproven():
        span = f"message {first}" if first == last else f"messages {first}–{last}"
        why = "which no trusted key speaks for" if gateway.trust else "and no birth with it came; give --key"
        text = f"{span}: signed with key {kid}, {why}"
        add("unknown_key", text, seq=first, line=line)
    if not holes and chain.runs:
        for seq, line, text in links.revisions.skipped(from_first=chain.runs[0].first == 1):
            add("bad_revision", text, seq=seq, line=line)
        if links.announced is not None:
            for seq, line, text in links.announced.differing(chain.runs[-1].last):
                add("replayed", text, seq=seq, line=line)
    if links.order > 1 and chain.runs:
        why = f"the gateway says why: {links.why}" if links.why else "no event says why (chain_begins)"
        run = chain.runs[0]
        text = f"a new chain; {why}"
        add("new_chain", text, seq=run.first, line=run.line, severity="notice")
    told, seq, line = gateway.state_seq
    if told == chain.id and chain.runs and seq > chain.runs[-1].last:
        text = (
            f"the gateway said (unsigned) that it was at {seq}; the last that came is {chain.runs[-1].last}"
        )
        add("truncated", text, seq=seq, line=line, severity="notice")


def chain_body(links: Links, findings: Findings) -> dict[str, Any]:
    """Return a chain's figures. missing: messages that are not there, also those that may be from before the recording."""
    chain = links.chain
    holes = list(chain.holes())
    followed = list(chain.followed())
    kinds = findings.of_chain(chain.site, chain.id)
    speaks_for = None
    if followed:
        speaks_for = {
            "first": str(followed[0].first),
            "last": str(followed[-1].last),
            "issued_first": followed[0].issued[0] or None,
            "issued_last": followed[-1].issued[1] or None,
        }
    return {
        "gateway": chain.site,
        "chain": chain.id,
        "first": str(chain.runs[0].first) if chain.runs else None,
        "last": str(chain.runs[-1].last) if chain.runs else None,
        "head": chain.runs[-1].head if chain.runs else None,
        "messages": chain.messages,
        "authentic": chain.verified,
        "holes": total(last - first + 1 for first, last, _, before in holes if not before),
        "missing": total(last - first + 1 for first, last, _, _ in holes),
        "speaks_for": speaks_for,
        "findings": sum(kinds.values()),
        "kinds": kinds,
    }


def total(numbers: Iterable[int]) -> int:
    """Return a sum that a reader of JSON can take."""
    return min(sum(numbers), COUNT_MAX)
