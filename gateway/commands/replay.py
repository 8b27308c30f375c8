"""`metergate replay`: ask the running gateway to decode journaled readings again, and watch it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from gateway.clock import SystemClock, local, sleep_for
from gateway.commands.bus_work import STOPPED, execute, politely, progress
from gateway.commands.grid import Grid, figures
from gateway.commands.meter_work import in_options, time_ns
from gateway.commands.options import meter_of, print_json, reason
from gateway.commands.tables import console, number_text
from gateway.config.site_file import load
from gateway.control.server import ask_async
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from pathlib import Path

LOOK_S = 0.2
STEPS = 1_000  # of the progress bar
PHASES = {
    "counting": "counting",
    "waiting": "waiting for the sinks to catch up",
    "writing": "writing",
}


def main(
    path: Path,
    meter_id: str,
    from_: str,
    to: str,
    *,
    dry_run: bool,
    same_addresses: bool,
    by: str,
    why: str,
    as_json: bool,
) -> int:
    """Replay, print what was done and return the exit code: 130 if Ctrl-C broke it off. Raises MetergateError."""
    if not dry_run:
        reason(why)
    site = load(path)
    meter = meter_of(site, meter_id)
    zone = site.site.timezone
    from_ns, to_ns = time_ns(from_, zone, "FROM"), time_ns(to, zone, "TO")
    if from_ns >= to_ns:
        hint = f"{local(from_ns, zone)} is not before TO, {local(to_ns, zone)}: write the earlier time first"
        raise typer.BadParameter(hint, param_hint="FROM")
    request: dict[str, Any] = {
        "meter": meter.id,
        "from_ns": from_ns,
        "to_ns": to_ns,
        "dry_run": dry_run,
        "same_addresses": same_addresses,
        "by": by,
        "why": why,
    }
    result = execute(_watch(site.gateway.socket_path, request))
    if result is None:
        typer.echo("Broken off; asked for again it writes the same lines again.", err=True)
        return STOPPED
    if as_json:
        print_json(result)
    else:
        _print(result, zone)
    return 1 if any(sink["refused"] for sink in result["sinks"].values()) else 0


async def _watch(socket: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result, None if Ctrl-C broke it off. Raises MetergateError."""
    try:
        await ask_async(socket, "replay", **request)
    except ConnectionError as error:
        raise MetergateError(
            f"{error}. A replay needs the running gateway, which alone holds the journal"
        ) from error
    except MetergateError as error:
        raise MetergateError(in_options(str(error))) from error
    with politely() as stop, progress() as bar:
        task = bar.add_task("counting", total=STEPS)
        while True:
            state = await ask_async(socket, "replay_state")
            if state["phase"] == "done":
                result: dict[str, Any] = state["result"]
                return result
            if state["phase"] == "failed":
                if stop.is_set():
                    return None
                raise MetergateError(state["error"])
            bar.update(task, description=PHASES[state["phase"]], completed=round(STEPS * state["done"]))
            if stop.is_set():
                await ask_async(socket, "replay_stop")
            await sleep_for(SystemClock(), LOOK_S)


def _print(result: dict[str, Any], zone: str) -> None:
    span = f"{local(result['from_ns'], zone)} to {local(result['to_ns'], zone)}"
    rows = [row for row in result["layouts"] if row["rev"]]
    oldest_ns = result["oldest_ns"]
    if oldest_ns is None or result["from_ns"] < oldest_ns:
        begins = "is empty" if oldest_ns is None else f"begins at {local(oldest_ns, zone)}"
        gone = (
            "; what is older has gone from it and stays as it was delivered" if result["older_gone"] else ""
        )
        typer.echo(f"The journal {begins}{gone}.")
    if not result["layouts"]:
        typer.echo(f"{result['meter']}: nothing is journaled from {span}")
        return
    if not rows:
        typer.echo(
            f"{result['meter']}: nothing to correct from {span}: the profile of the running gateway reads it all as it was read. "
            "Was the gateway restarted after the correction?"
        )
        return
    out = console()
    for row in rows:
        out.print(
            f"layout {row['before']} → {row['after']}, rev {row['rev']}: {row['readings']:,} readings in {row['frames']:,} samples, "
            f"{row['changed']:,} of them differ",
            highlight=False,
        )
        table = Grid("", figures("before"), figures("after"), "unit")
        for key, values in row["channels"].items():
            table.add_section(key)
            for which in ("first", "last"):
                table.add_row(which, *map(number_text, values[which]), values["unit"])
        out.print(table)
        if row["withdrawn"]:
            typer.echo(
                f"{row['withdrawn']:,} values are none any more: InfluxDB keeps the old number, its flag field says so."
            )
    if result["dry_run"]:
        typer.echo("Only counted (--dry-run); nothing was written.")
        return
    for sink, counts in result["sinks"].items():
        refused = f", {counts['refused']:,} refused: {counts['reason']}" if counts["refused"] else ""
        typer.echo(f"sink {sink}: {counts['written']:,} readings rewritten{refused}")
    if not result["sinks"]:
        typer.echo("No InfluxDB sink: the rule is recorded, nothing was rewritten.")
    if result.get("durable") is False:
        typer.echo("NOT ON DISK YET: the journal cannot be written; its event waits in memory", err=True)
    if result["not_told"]:
        typer.echo(f"Not sent by MQTT ({', '.join(result['not_told'])}): telemetry has no revisions.")
