"""The commands that talk to meters: `read`, `scan`, `probe`, `capture`. What they do is in `bus_work`.

Heavy imports happen inside the command that needs them.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from gateway.commands.options import By, Config, Json, config_path, duration_s, user

_NAMES = "METER, or LINK METER; LINK alone for a raw read: --unit and --register, or --address and --di."

Register = Annotated[
    str,
    typer.Option(
        help="Raw: register address on the wire, from 0, decimal or 0x…; manual's 40001 is often 0 of function 3."
    ),
]
Address = Annotated[
    str, typer.Option(help="Raw: meter number, 12 digits (DL/T 645) or 14 (CJ/T 188); default: the METER's.")
]
Di = Annotated[
    str,
    typer.Option("--di", help="Raw: data identifier (数据标识), such as 0x00010000 or, CJ/T 188, 0x901F."),
]
MeterType = Annotated[
    str, typer.Option(help="Raw, CJ/T 188: type of the meter, such as 0x10 for cold water.")
]
Count = Annotated[
    int | None,
    typer.Option(min=1, max=125, help="Raw: registers (default 1), or bytes of the value (default 4)."),
]


def mount(app: typer.Typer) -> None:
    """Add the commands to `metergate`."""
    for command in (read, scan, probe, capture):
        app.command()(command)


def number_of(text: str, option: str, base: int = 0) -> int:
    """Return a whole number, decimal or 0x…; base 16: hexadecimal without 0x."""
    try:
        return int(text, base)
    except ValueError as error:
        what = "hexadecimal digits" if base else "a number such as 4096 or 0x1000"
        raise typer.BadParameter(f'"{text}" is not {what}', param_hint=option) from error


def read(
    meter: Annotated[list[str], typer.Argument(help=_NAMES, metavar="[LINK] METER")],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Read again and again until Ctrl-C.")] = False,
    every: Annotated[str, typer.Option(help="With --watch: how often.")] = "2s",
    unit: Annotated[int | None, typer.Option(min=0, max=255, help="Raw: Modbus unit id.")] = None,
    function: Annotated[
        int, typer.Option(min=1, max=4, help="Raw: 3 holding, 4 input registers, 1 coils, 2 discrete inputs.")
    ] = 3,
    register: Register = "",
    address: Address = "",
    di: Di = "",
    meter_type: MeterType = "",
    count: Count = None,
    type_: Annotated[
        str,
        typer.Option("--type", help="Raw registers: u16 s16 u32 s32 f32 f64 …; without it all are shown."),
    ] = "",
    order: Annotated[str, typer.Option(help="Raw: byte order, ABCD CDAB BADC DCBA.")] = "ABCD",
    timeout: Annotated[str, typer.Option(help="Raw: longest wait for the answer.")] = "1s",
    config: Config = None,
    json: Json = False,
) -> None:
    """Read a meter now: values with units, doubts in words, raw bytes, the time it took. Nothing is recorded.

    Through the running gateway if there is one, between two of its polls; else the link is opened for this. The options
    marked "Raw" read what no profile describes: registers, or a data identifier.

    Examples:

    * `metergate read feeder-1 --watch`
    * `metergate read hall-a --unit 3 --function 4 --register 0x46 --count 2`
    * `metergate read line --address 000012345678 --di 0x00010000`
    """
    from gateway.commands.bus_work import IdentifiedRead, RawRead, read_identified, read_meter, read_raw

    every_s = max(duration_s(every, "--every"), 0.1) if watch else None
    if len(meter) > 2:
        raise typer.BadParameter("expected METER or LINK METER", param_hint="METER")
    if register and di:
        raise typer.BadParameter("registers are Modbus, --di is DL/T 645 and CJ/T 188", param_hint="--di")
    timeout_s, path = duration_s(timeout, "--timeout"), config_path(config)
    if register:
        at = number_of(register, "--register")
        asked = RawRead(unit, function, at, count or 1, type_, order, timeout_s)
        raise typer.Exit(read_raw(path, meter, asked, every_s=every_s, as_json=json))
    if di:
        of_type = number_of(meter_type, "--meter-type") if meter_type else None
        value = IdentifiedRead(address, number_of(di, "--di"), count or 4, of_type, timeout_s)
        raise typer.Exit(read_identified(path, meter, value, every_s=every_s, as_json=json))
    if unit is not None:
        raise typer.BadParameter(
            "--unit asks for raw registers: say --register 0x46", param_hint="--register"
        )
    if address:
        raise typer.BadParameter("--address asks for a raw value: say --di 0x00010000", param_hint="--di")
    raise typer.Exit(read_meter(path, meter, every_s=every_s, as_json=json))


def scan(
    link: Annotated[
        str, typer.Argument(metavar="LINK", help="Link of the site file; or --host or --port without one.")
    ] = "",
    first: Annotated[int, typer.Option("--from", min=0, max=255, help="First unit id.")] = 1,
    last: Annotated[int, typer.Option("--to", min=0, max=255, help="Last unit id.")] = 247,
    timeout: Annotated[str, typer.Option(help="Longest wait for each unit id.")] = "200ms",
    bauds: Annotated[str, typer.Option(help="Serial: try these baud rates, such as 9600,19200.")] = "",
    parities: Annotated[str, typer.Option(help="Serial: try these parities, such as E,N.")] = "",
    host: Annotated[
        str, typer.Option(help="HOST or HOST:PORT of a Modbus TCP device, without a site file.")
    ] = "",
    rtu: Annotated[
        bool, typer.Option("--rtu", help="HOST is a serial device server: bytes as on the line.")
    ] = False,
    port: Annotated[str, typer.Option(help="Serial port, such as /dev/ttyUSB0, without a site file.")] = "",
    probe: Annotated[bool, typer.Option("--probe", help="Find the profile of each meter found too.")] = False,
    protocol: Annotated[
        str,
        typer.Option(help="Look only for modbus, dlt645 or cjt188 meters. Default: all the link may carry."),
    ] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Find the meters on a link: unit ids that answer, on a line the number of a lone DL/T 645 or CJ/T 188 meter too.

    Those two have numbers of 12 and 14 digits, too many to ask one by one: only the number AA…AA calls them all, and a meter answers
    it with its own; the answers of two collide. Enter more from their plates, or connect them one at a time.
    --protocol cjt188 also asks as each meter type (T) in turn, for meters that want their own.

    Any answer proves a meter, a refusal too. Ends with tables for the site file. Ctrl-C stops it and shows what was found.
    --bauds and --parities open the port anew for each, so no gateway may run on it; the first that finds a meter ends it.
    Beside the running gateway, which reads its meters first, commands get a tenth of a busy line: up to --timeout × unit ids ÷ 0.1.

    Examples:

    * `metergate scan hall-a --probe`
    * `metergate scan --port /dev/ttyUSB0 --bauds 9600,19200 --to 32`
    """
    from gateway.commands.scan import ScanOptions
    from gateway.commands.scan import scan as work

    if first > last:
        raise typer.BadParameter(f"{first} to {last} is no range", param_hint="--from")
    if sum(map(bool, (link, host, port))) != 1:
        raise typer.BadParameter("expected one of LINK, --host and --port", param_hint="LINK")
    options = ScanOptions(
        link=link,
        host=host,
        rtu=rtu,
        port=port,
        first=first,
        last=last,
        timeout_s=duration_s(timeout, "--timeout"),
        bauds=tuple(number_of(text, "--bauds") for text in bauds.split(",") if text),
        parities=tuple(text.strip().upper() for text in parities.split(",") if text),
        probe=probe,
        protocol=protocol,
    )
    raise typer.Exit(work(config_path(config), options, as_json=json, config_given=config is not None))


def probe(
    meter: Annotated[
        list[str],
        typer.Argument(
            help="METER, or LINK UNIT, or LINK and a meter number; an OPC UA LINK alone.",
            metavar="LINK UNIT|METER",
        ),
    ],
    profile: Annotated[
        str,
        typer.Option(
            help="Expect this meter type: look where its registers are if not where the profile says."
        ),
    ] = "",
    timeout: Annotated[str, typer.Option(help="Longest wait for each answer.")] = "500ms",
    below: Annotated[str, typer.Option(help="OPC UA: only what is below this node id.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Find out which meter type answers: reads what tells all known types apart, ranks them and says why.

    It says so when types cannot be told apart. For a METER it also checks that the profile's registers are where the profile says,
    and tries one higher and lower, the other function and other word orders. Of a DL/T 645 or CJ/T 188 meter (12 or 14 digits) it reads
    the identifiers of all types of that protocol and says which channels answer. On an OPC UA link it lists the variables with
    types and values and proposes channels.

    Examples:

    * `metergate probe feeder-1`
    * `metergate probe hall-a 3`
    * `metergate probe line 000012345678`
    * `metergate probe dcs`
    """
    from gateway.commands.probe import probe as work

    timeout_s = duration_s(timeout, "--timeout")
    code = work(config_path(config), meter, profile, timeout_s=timeout_s, below=below, as_json=json)
    raise typer.Exit(code)


def capture(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Meter of the site file.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Append to this file, such as the profile itself.")
    ] = None,
    serial: Annotated[str, typer.Option(help="Serial number on the meter's plate, for the record.")] = "",
    by: By = "",
    force: Annotated[bool, typer.Option("--force", help="Also with values that are doubted.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Write a golden capture of a live meter: its bytes, and the exact values the profile makes of them.

    Compare the values with the display before you put it into a profile: then every later version of the gateway is tested against
    this meter. Refused while values are doubted, for then one does not know what the bytes mean.

    Example:

    * `metergate capture feeder-1 --serial 12345678 -o eastron-sdm630.toml`
    """
    from gateway.commands.capture import capture as work

    who = by or user()
    raise typer.Exit(work(config_path(config), meter, out, serial=serial, by=who, force=force, as_json=json))
