"""The `metergate` command. Heavy imports happen inside the command that needs them.

Exit codes: 0 done · 1 a failure said on stderr · 2 wrong usage · 78 the configuration cannot be used.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import orjson
import typer

from gateway import __version__
from gateway.commands import bus as cli_bus
from gateway.commands import meter as cli_meter
from gateway.commands.balance import balance
from gateway.commands.bill import app as bill
from gateway.commands.calendar import calendar
from gateway.commands.collect import collect
from gateway.commands.completeness import completeness
from gateway.commands.evidence import app as evidence
from gateway.commands.evidence_gather import gather
from gateway.commands.export import export
from gateway.commands.feed import app as feed
from gateway.commands.fitting import fitting
from gateway.commands.inspect import app as inspect
from gateway.commands.inventory import app as inventory
from gateway.commands.opcua import app as opcua
from gateway.commands.options import Config, Json, config_path, duration_s, print_json
from gateway.commands.record import record
from gateway.commands.rulesets import rulesets
from gateway.commands.trace import trace
from gateway.commands.verify import verify
from gateway.commands.watch import watch
from gateway.errors import EXIT_CONFIG, ConfigError, MetergateError

app = typer.Typer(
    name="metergate",
    help="Edge gateway for energy, water and carbon meters: reads them, keeps every reading, delivers it. "
    "Begin with `metergate demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class LogStyle(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


@app.command()
def run(
    config: Config = None,
    log_style: Annotated[LogStyle, typer.Option("--log", help="How log lines look.")] = LogStyle.TEXT,
    summary: Annotated[
        Path | None, typer.Option(help="Write the final figures as JSON to this file when the gateway stops.")
    ] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Starts with every meter and destination offline; only a site file that cannot be used is fatal (exit 78).
    """
    from gateway import log
    from gateway.assembly import library
    from gateway.clock import SystemClock
    from gateway.commands.loop import run as run_loop
    from gateway.config.site_file import load
    from gateway.planning.findings import certain_findings
    from gateway.serve import serve

    site = load(config_path(config))
    known = library(site)
    if findings := certain_findings(site, known):
        raise ConfigError(findings)
    if summary is not None and not os.access(summary.parent, os.W_OK):
        raise MetergateError(f"--summary {summary}: its folder cannot be written")
    log.configure(site.gateway.log_level, log_style.value)
    figures = run_loop(serve(site, known, SystemClock()))
    if summary is not None:
        summary.write_bytes(orjson.dumps(figures))


@app.command()
def check(config: Config = None, json: Json = False) -> None:
    """Check a site file: every problem with its key path, what was found, what was expected and what to try.

    Plans the links too: channels no request can read and lines that cannot keep up are problems. Talks to no meter. Exit
    code 78 if the file cannot be used.
    """
    from gateway.assembly import library
    from gateway.config import site_file
    from gateway.config.certificate_files import certificate_findings
    from gateway.config.summary import summary
    from gateway.planning.findings import assumed_warnings, certain_findings

    try:
        site = site_file.load(config_path(config))
        known = library(site)
        if findings := [*certain_findings(site, known), *certificate_findings(site)]:
            raise ConfigError(findings)
    except ConfigError as error:
        if json:
            print_json({"ok": False, "findings": site_file.to_json(error.findings)})
        else:
            typer.echo(site_file.report(error.findings))
        raise typer.Exit(EXIT_CONFIG) from None
    found = summary(site)
    found["warnings"] += assumed_warnings(site, known)
    if json:
        print_json({"ok": True} | found)
        return
    from gateway.commands.tables import summary_text

    typer.echo(summary_text(found))


@app.command()
def plan(
    config: Config = None,
    meters: Annotated[
        bool, typer.Option("--meters", help="With every request of every meter: function, address, count.")
    ] = False,
    delay: Annotated[
        str,
        typer.Option(
            help="How long a meter on a serial line is taken to think before it answers, where its own read.delay does "
            "not say: an assumption. Default: 10ms."
        ),
    ] = "",
    round_trip: Annotated[
        str,
        typer.Option(help="From request to answer on TCP, network and device: an assumption. Default: 10ms."),
    ] = "",
    json: Json = False,
) -> None:
    """Compute what every link has to carry, before anything is started: requests, bytes, time, occupancy.

    Talks to no meter. Occupancy is the part of its time a link is taken: above 80% it is tight (a dead meter or a repeat
    costs readings), above 100% it cannot keep up (exit code 78). Both come with changes that have been computed to fit.
    """
    from gateway.commands.plan import main as print_plan

    raise typer.Exit(
        print_plan(config_path(config), meters=meters, delay=delay, round_trip=round_trip, as_json=json)
    )


@app.command()
def status(
    config: Config = None,
    values: Annotated[bool, typer.Option("--values", help="With the newest value of every channel.")] = False,
    json: Json = False,
) -> None:
    """Show the running gateway: links, meters, sinks, journal, losses. Run it as the gateway's user or as root."""
    from gateway.commands.tables import print_status
    from gateway.config.site_file import load
    from gateway.control.server import ask

    site = load(config_path(config))
    figures = ask(site.gateway.socket_path, "status", values=values)
    if json:
        print_json(figures)
    else:
        print_status(figures, site.site.timezone)


@app.command()
def events(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="LINK|METER",
            help="Only of this meter, or of this link and its meters; `gateway`: its own.",
        ),
    ] = "",
    from_: Annotated[
        str,
        typer.Option("--from", help="First time, such as 2026-11-22 or 2026-11-22T14:30 (the site's time)."),
    ] = "",
    to: Annotated[str, typer.Option("--to", help="Time up to which, itself excluded.")] = "",
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind, such as meter_swap; may be repeated.")
    ] = None,
    last: Annotated[
        int, typer.Option(help="Only the newest N. Default: 50, with --from all.", show_default=False)
    ] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show what happened, newest last: outages, swaps, ratio changes, counters that fell, absent channels, maintenance.

    From the running gateway, or from the journal of one that does not run. With --json one object a line.
    """
    from gateway.commands.events import Asked, main

    main(config_path(config), Asked(subject, from_, to, kind or [], last, follow), as_json=json)


@app.command()
def profiles(
    id: Annotated[
        str | None,
        typer.Argument(metavar="ID|WORDS", help="Show one meter type whole; or find maker, model or medium."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the meter types this gateway knows, with how far each can be trusted; all, or those that match words.

    `one-source`: the register map comes from one document; compare the first readings with the meter's display.
    """
    from drivers.profiles import describe, describe_whole, search
    from gateway.assembly import library
    from gateway.commands.tables import print_profile, print_profiles
    from gateway.config.site_file import load
    from gateway.config.values import nearest

    path = config_path(config)
    known = library(load(path) if config is not None or path.exists() else None)
    whole = id in known.ids()
    if id and whole:
        rows = [describe_whole(known.get(id))]
    else:
        rows = [describe(profile) for profile in search(known, id or "")]
    if not rows:
        near = nearest(id or "", known.ids())
        meant = f"; did you mean {near!r}?" if near else ""
        raise MetergateError(
            f"no profile {id!r}, in id, maker or model{meant}; `metergate profiles` lists them all"
        )
    if json:
        print_json(rows[0] if whole else rows)
    elif whole:
        print_profile(rows[0])
    else:
        print_profiles(rows)


@app.command()
def simulate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Simulation file; see docs/reference/simulation-file.md.")
    ],
    seed: Annotated[
        int | None, typer.Option(help="Seed of the physics and the faults; default: the file's.")
    ] = None,
    site_out: Annotated[
        Path | None,
        typer.Option("--site-out", help="Write a matching site file here once everything listens."),
    ] = None,
    json: Json = False,
) -> None:
    """Serve a simulated site on loopback ports until Ctrl-C, with physics and faults: Modbus TCP, serial lines, OPC UA."""
    try:
        from simulators.run import main as serve_site
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    raise typer.Exit(serve_site(file, seed=seed, site_out=site_out, as_json=json))


@app.command()
def demo(
    duration: Annotated[
        str, typer.Option("--for", help="Stop after this long, such as 20s or 5min. Default: until Ctrl-C.")
    ] = "",
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object, last line of stdout.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option(help="Simulation file. Default: the plant shipped with Metergate.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the simulated plant.")] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep site file, journal and logs in this folder; default: a temporary one."),
    ] = None,
    interval: Annotated[
        str, typer.Option(help="Length of the feed's intervals, such as 10s. Default: 15min.")
    ] = "",
    record_to: Annotated[
        Path | None,
        typer.Option(
            "--record",
            help="Record the regulators' feed into this new file; then try `metergate verify FILE`.",
        ),
    ] = None,
) -> None:
    """Watch a whole simulated plant being read over real sockets, journaled and delivered.

    Uses mosquitto and victoria-metrics (or influxd) from the PATH on free loopback ports if they are there, else an
    embedded broker and the local journal only, and says so.
    """
    try:
        from simulators.demo import Options
        from simulators.demo import main as run_demo
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    for_s = duration_s(duration, "--for") if duration else None
    if interval:
        duration_s(interval, "--interval")
    given = Options(for_s, json=json, file=file, seed=seed, keep=keep, interval=interval, record=record_to)
    raise typer.Exit(run_demo(given))


cli_bus.mount(app)
cli_meter.mount(app)
app.add_typer(opcua, name="opcua")
app.add_typer(feed, name="feed")
app.add_typer(inventory, name="inventory")
evidence.command()(gather)
app.add_typer(bill, name="bill")
app.add_typer(inspect, name="inspect")
app.add_typer(evidence, name="evidence")
for _command in (verify, watch, collect, completeness, export, fitting, balance, calendar, trace):
    app.command()(_command)
app.command()(record)
app.command()(rulesets)


@app.callback()
def common(
    show: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and end.",
            callback=lambda on: on and _version(),
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Nothing is common to all commands but the version."""


def _version() -> None:
    typer.echo(f"metergate {__version__}")
    raise typer.Exit


@app.command()
def version(json: Json = False) -> None:
    """Print the version."""
    if json:
        print_json({"version": __version__})
    else:
        typer.echo(f"metergate {__version__}")


def missing_extra(error: ModuleNotFoundError) -> MetergateError:
    """Return what to do when the simulators' own packages are not installed."""
    return MetergateError(
        f"{error.name} is not installed; the simulators need: pip install '.[sim]' in the clone, or make env"
    )


def main() -> None:
    """Run the command; turn expected errors into one message and an exit code."""
    try:
        app()
    except ConfigError as error:
        from gateway.findings import report

        typer.echo(report(error.findings), err=True)
        sys.exit(EXIT_CONFIG)
    except (MetergateError, ConnectionError) as error:
        typer.echo(f"metergate: {error}", err=True)
        sys.exit(1)
