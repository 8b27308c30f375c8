"""Figures beside their budgets: what was measured, what was allowed, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table

MAX_RATE = "max-rate"
_STEADY = {
    "cadence_p99_s": 1.05,
    "latency_p99_ms": 100.0,
    "rss_peak_mb": 80.0,
    "first_reading_s": 2.0,
    "lost": 0.0,
}
_LEAST = {"delivered_fraction": 0.99}


@dataclass(frozen=True)
class Budget:
    """One limit. side: "max" or "min"."""

    limit: float
    side: Literal["max", "min"]

    def met(self, value: float | None) -> bool:
        """Return whether `value` keeps it; an absent one does not."""
        if value is None:
            return False
        return value <= self.limit if self.side == "max" else value >= self.limit


def _budgets(most: dict[str, float], least: dict[str, float]) -> dict[str, Budget]:
    return {key: Budget(limit, "max") for key, limit in most.items()} | {
        key: Budget(limit, "min") for key, limit in least.items()
    }


_SERIAL = _budgets(
    {"gap_violations": 0.0, "lost": 0.0}, {"wire_fraction": 0.95, "others_rate_fraction": 0.95}
)
BUDGETS: dict[str, dict[str, Budget]] = {
    "tcp-mqtt": _budgets({"cpu_s_per_million": 3.0} | _STEADY, _LEAST),
    "tcp-mqtt-per-meter": _budgets({"cpu_s_per_million": 8.0} | _STEADY, _LEAST),
    "tcp-mqtt-influx": _budgets({"cpu_s_per_million": 4.0} | _STEADY, _LEAST),
    MAX_RATE: _budgets({"lost": 0.0}, {"readings_per_s": 200_000.0} | _LEAST),
    "serial-9600": _SERIAL,
    "serial-19200": _SERIAL,
    "backlog": _budgets(
        {"live_latency_p99_ms": 1000.0, "lost": 0.0, "repeats": 0.0},
        {"drained_per_s": 50_000.0, "backlog": 1_000_000.0},
    ),
    "fitting": _budgets({"evaluation_s": 2.0, "page_s": 10.0, "workbook_s": 10.0}, {}),
    "verify": _budgets({"wrong": 0.0}, {"messages_per_s": 5_000.0}),
}
"""What the design allows on a quiet machine with 500 meters (docs/reference/benchmarks.md)."""

FIGURES: tuple[tuple[str, str, str], ...] = (
    ("readings_per_s", "readings/s", ",.0f"),
    ("delivered_fraction", "delivered", ".4f"),
    ("cpu_s_per_million", "CPU s/million", ".2f"),
    ("rss_peak_mb", "peak MB", ".0f"),
    ("cadence_p50_s", "cadence p50 s", ".3f"),
    ("cadence_p99_s", "cadence p99 s", ".3f"),
    ("latency_p50_ms", "latency p50 ms", ".1f"),
    ("latency_p99_ms", "latency p99 ms", ".1f"),
    ("first_reading_s", "first reading s", ".2f"),
    ("lost", "lost", ",.0f"),
    ("wire_fraction", "of the wire's limit", ".4f"),
    ("gap_violations", "gap violations", ",.0f"),
    ("others_rate_fraction", "others, one dead", ".4f"),
    ("others_rate_fraction_first", "… first timeout incl.", ".4f"),
    ("simulator_late_ms", "simulator late, ms", ".2f"),
    ("load", "load", ".1f"),
    ("requests_per_s", "requests/s", ",.2f"),
    ("cpu_fraction", "CPU of one core", ".3f"),
    ("backlog", "backlog, readings", ",.0f"),
    ("drained_per_s", "drained, readings/s", ",.0f"),
    ("live_latency_p50_ms", "live meanwhile p50 ms", ",.0f"),
    ("live_latency_p99_ms", "live meanwhile p99 ms", ",.0f"),
    ("repeats", "duplicates", ",.0f"),
    ("feed_backlog", "feed's backlog, messages", ",.0f"),
    ("wrong", "wrong", ",.0f"),
    ("messages_per_s", "messages/s", ",.0f"),
    ("cpu_us_per_message", "CPU µs/message", ",.0f"),
    ("evaluation_s", "evaluation s", ".2f"),
    ("load_s", "reading the inventory s", ".2f"),
    ("command_s", "the command s", ".2f"),
    ("page_s", "page s", ".1f"),
    ("workbook_s", "workbook s", ".1f"),
)
"""Every figure of a workload: key, short name, format."""


def judged(figures: dict[str, Any]) -> dict[str, Any]:
    """Return a workload's figures, rounded, with `budget` and `meets` for each one that has a budget."""
    budgets = BUDGETS[figures["workload"]]
    return {key: _rounded(value) for key, value in figures.items()} | {
        "budget": {key: {budget.side: budget.limit} for key, budget in budgets.items()},
        "meets": {key: budget.met(figures.get(key)) for key, budget in budgets.items()},
    }


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _cell(result: dict[str, Any], key: str, form: str) -> str:
    value = result.get(key)
    shown = "–" if value is None else format(value, form)
    budget = result["budget"].get(key)
    if budget is None:
        return shown
    side, limit = next(iter(budget.items()))
    met = result["meets"][key]
    sign = "≤" if side == "max" else "≥"
    verdict = "[green]ok[/]" if met else "[bold red]missed[/]"
    return f"{shown}  [dim]{sign} {limit:,g}[/] {verdict}"


def table(results: list[dict[str, Any]]) -> Table:
    """Return the results as a table for people: one column a workload, the budget beside each figure."""
    shown = Table(title="Metergate benchmark")
    shown.add_column("figure")
    for result in results:
        shown.add_column(result["workload"])
    for key, name, form in FIGURES:
        shown.add_row(name, *(_cell(result, key, form) for result in results))
    return shown
