"""The commands about one meter's life: `commission`, `swap`, `ratio`, `reading`, `maintenance`, `replay`.

What they do is in `meter_work`, `replay` and `commission`, imported inside the command that needs them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.options import By, Config, Json, Why, config_path, user

Meter = Annotated[str, typer.Argument(metavar="METER", help="Id of a meter of the site file.")]


def mount(app: typer.Typer) -> None:
    """Add the commands to `metergate`."""
    for command in (maintenance, swap, ratio, reading, commission, replay):
        app.command()(command)


def maintenance(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="LINK|METER", help="What is worked on; none: list what is under maintenance."),
    ] = None,
    for_: Annotated[
        str, typer.Option("--for", help="How long, such as 30min, 2h, 1d; it ends by itself.")
    ] = "",
    end: Annotated[bool, typer.Option("--end", help="End it now.")] = False,
    removed: Annotated[
        bool, typer.Option("--removed", help="The meter is away for verification or calibration (送检).")
    ] = False,
    why: Annotated[str, typer.Option(help="Why; kept with the event. Required with --for.")] = "",
    by: By = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Declare maintenance (检修) of a link or a meter: no alarms, readings go on and carry the flag MAINTENANCE.

    It ends by itself, outlasts a restart, and is an event. Needs the running gateway.

    `metergate maintenance feeder-1 --for 2h --why "CT exchanged"`

    `metergate maintenance feeder-1 --for 5d --removed --why "verification, institute of metrology"`
    """
    from gateway.commands.meter_work import Work, maintain

    work = Work(for_, end, removed, why, by or user())
    maintain(config_path(config), subject, work, as_json=json)


def swap(
    meter: Meter,
    why: Why,
    serial: Annotated[
        str, typer.Option(help="Number of the new meter, as on its plate. Required unless --undo.")
    ] = "",
    by: By = "",
    closing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHANNEL=VALUE",
            help="旧表止码, last reading of the old meter, or CHANNEL=unknown; one for each counter the journal has no good reading of before.",
        ),
    ] = None,
    opening: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHANNEL=VALUE",
            help="新表起码, first reading of the new meter, or CHANNEL=unknown; one for each counter the journal has none of after, and that cannot be read now.",
        ),
    ] = None,
    at: Annotated[
        str,
        typer.Option(help="When it was exchanged, such as 2026-11-22T14:30 (the site's time). Default: now."),
    ] = "",
    undo: Annotated[
        bool, typer.Option("--undo", help="Take the newest swap of this meter back: it was recorded wrongly.")
    ] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Record that another meter hangs there now (换表), with its readings.

    Values are as the gateway counts, ratios included; a unit may follow: "12345.6 kWh". Alters no reading: intervals split
    at the event. Needs the running gateway, which alone writes the journal.
    """
    from gateway.commands.meter_work import Declaration, record_swap, undo_swap

    what = Declaration(by or user(), why, closing or [], opening or [], at)
    act = undo_swap if undo else record_swap
    act(config_path(config), meter, serial, what, as_json=json)


def ratio(
    meter: Meter,
    change: Annotated[
        str, typer.Argument(metavar="CHANGE", help="NAME=VALUE, the ratio from now on: ct=60, or ct=300/5.")
    ],
    why: Why,
    by: By = "",
    closing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHANNEL=VALUE",
            help="Last reading under the old ratio, or CHANNEL=unknown; one for each counter the journal has no good reading of before.",
        ),
    ] = None,
    opening: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHANNEL=VALUE",
            help="Display times the new ratio, if somebody noted it; one for each counter.",
        ),
    ] = None,
    at: Annotated[str, typer.Option(help="When it was changed (the site's time). Default: now.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Record that a ratio (变比) is another from now on, with the reading under the old one; says what is left to do.

    Earlier intervals keep the old factor. The site file, or the meter, still has to be told: the answer says which.
    Needs the running gateway, which alone writes the journal.
    """
    from gateway.commands.meter_work import Declaration, record_ratio

    what = Declaration(by or user(), why, closing or [], opening or [], at)
    record_ratio(config_path(config), meter, change, what, as_json=json)


def reading(
    meter: Meter,
    values: Annotated[
        list[str],
        typer.Argument(
            metavar="CHANNEL=VALUE", help='What the meter shows: energy_active_import_total="12345.6 kWh".'
        ),
    ],
    why: Why,
    by: By = "",
    at: Annotated[str, typer.Option(help="When it was read (the site's time). Default: now.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Enter a reading taken by eye (人工抄表), also of a meter that is disabled: its own source, with who and why.

    It takes the place of no reading of the meter; a month that lacks one at its end may use it, marked as manual. Values are as the
    gateway counts, ratios included; one that is negative, or less than the last one known, is kept and warned of. Needs the running
    gateway, which alone writes the journal.

    `metergate reading feeder-1 energy_active_import_total="12345.6 kWh" --why "line is cut"`

    `metergate reading canteen-gas volume="4821.6 m3" --at 2026-11-30T23:55 --by "Li Wei" --why "month's end"`
    """
    from gateway.commands.meter_work import record_reading

    record_reading(config_path(config), meter, values, at=at, by=by or user(), why=why, as_json=json)


def commission(
    meter: Meter,
    by: By = "",
    display: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHANNEL=VALUE",
            help='What the display shows, digits as shown: volume=1234.5, or "volume=1234.5 m3".',
        ),
    ] = None,
    age: Annotated[
        str, typer.Option(help="With --display: how long ago the display was read, at most.")
    ] = "60s",
    plate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Ratio as the transformers' plates have it: ct=200/5."),
    ] = None,
    serial: Annotated[str, typer.Option(help="The meter's number as on its plate.")] = "",
    expect: Annotated[
        str, typer.Option(metavar="import|export", help="Which way energy flows just now.")
    ] = "import",
    reads: Annotated[int, typer.Option(min=2, max=60, help="How often it is read for the direction.")] = 3,
    every: Annotated[str, typer.Option(help="Time between these reads.")] = "2s",
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing; use the options alone.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Compare a meter with what the gateway makes of it (抄表比对), step by step, and write a dated record.

    Steps: identity, serial number, ratios against the plates, direction under load, clock, display against gateway value
    (tolerance: one last digit of the display, plus what flows in between). What cannot be judged is said with its reason.
    Asks for what the options leave out if there is a terminal. Works with and without the gateway running; exit code 1 if
    a step failed.
    """
    from gateway.commands.commission import Options, main

    asked = Options(
        by=by or user(),
        display=display or [],
        age=age,
        plate=plate or [],
        serial=serial,
        expect=expect,
        reads=reads,
        every=every,
        ask=not no_input and not json,
    )
    raise typer.Exit(main(config_path(config), meter, asked, as_json=json))


def replay(
    meter: Meter,
    from_: Annotated[
        str,
        typer.Argument(
            metavar="FROM", help="First time, such as 2026-11-01 or 2026-11-01T08:00 (the site's time)."
        ),
    ],
    to: Annotated[str, typer.Argument(metavar="TO", help='Time up to which, itself excluded; "now".')],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count and show first and last values before and after.")
    ] = False,
    same_addresses: Annotated[
        bool,
        typer.Option(
            "--same-addresses",
            help="You vouch that the correction reads the same addresses; for readings of versions that did not keep them.",
        ),
    ] = False,
    by: By = "",
    why: Annotated[str, typer.Option(help="Why; kept with the event. Required unless --dry-run.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Decode journaled readings of a meter again after its profile was corrected, and rewrite them in InfluxDB.

    Correct the profile, restart the gateway, replay. Same time and series, field `rev` raised; raw bytes are never touched,
    and ratios stay those of the time. Other addresses are refused: their bytes are not in the journal. MQTT gets nothing.
    Safe to repeat. Needs the running gateway.
    """
    from gateway.commands.replay import main

    raise typer.Exit(
        main(
            config_path(config),
            meter,
            from_,
            to,
            dry_run=dry_run,
            same_addresses=same_addresses,
            by=by or user(),
            why=why,
            as_json=json,
        )
    )
