"""Where evidence came from, in the words of reports: what the program knows first, then what the evidence says of itself. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.fitting.evidence import Evidence

HISTORY = ("本网关历史数据", "the gateway's own history")
FILE = ("由文件提交, 未经本网关核实", "a file handed in, not vouched for by the gateway")


def told(evidence: Evidence) -> tuple[str, str]:
    """Return where evidence came from in Chinese and English."""
    says = " ".join(filter(None, (evidence.source, evidence.timezone)))
    zh, en = HISTORY if evidence.origin.kind == "history" else FILE
    return (f"{zh}: {says}", f"{en}: {says}") if says else (zh, en)
