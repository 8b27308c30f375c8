"""`metergate feed`: the key that goes on paper, a new one, and messages once more."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import By, Config, Json, Why, config_path, print_json, reason, user
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from gateway.config.models import Site

app = typer.Typer(help="The regulators' feed: its key, and messages once more.", no_args_is_help=True)

SEQ_MAX = 2**53 - 1
"""The last number that has a successor within what a JSON number holds exactly."""
INDENT = 18  # columns of a label; 指纹 takes four of them
NEXT_ROW = f"\n{' ' * (INDENT + 1)}"


def _site(config: Path | None) -> Site:
    from gateway.config.site_file import load

    return load(config_path(config))


def _fingerprint(fingerprint: str) -> str:
    """Return a fingerprint under one label in two rows: whole it is wider than 80 columns."""
    from gateway.feed.keys import for_paper

    grouped = for_paper(fingerprint).split(" ")
    return f"fingerprint 指纹  {' '.join(grouped[:8])}\n{' ' * INDENT}{' '.join(grouped[8:])}"


def _write_pem(path: Path, pem: str) -> None:
    """Write a public key to a file that is not there yet, or holds this very key. Raises MetergateError."""
    try:
        if path.exists() and path.read_text(encoding="utf-8", errors="replace").strip() not in {
            "",
            pem.strip(),
        }:
            raise MetergateError(
                f"--pem {path}: is there already and holds something else, such as another key; name a new file, or move that one away"
            )
        path.write_text(pem, encoding="ascii")
    except OSError as error:
        raise MetergateError(f"--pem {path}: {error.strerror}") from error


@app.command()
def key(
    pem: Annotated[
        Path | None,
        typer.Option(help="Write the public key to this file as PEM too; never over another key."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Print the gateway's public key and its fingerprint, to be handed over on paper.

    Reads the state folder, beside a running gateway too: run it as the gateway's user or as root. With --json it prints what
    `metergate verify --key` takes.
    """
    from gateway.feed.keys import KEY_FILE, for_paper, load_key

    site = _site(config)
    known = load_key(site.gateway.state_dir / KEY_FILE, site.gateway.id).known
    if pem is not None:
        _write_pem(pem, known.pem)
    if json:
        found = {"kid": known.kid, "fingerprint": known.fingerprint, "paper": for_paper(known.fingerprint)}
        print_json(found | {"jwk": known.jwk, "pem": known.pem})
        return
    import orjson

    members = [
        f"{orjson.dumps(name).decode()}:{orjson.dumps(value).decode()}" for name, value in known.jwk.items()
    ]
    typer.echo(f"gateway           {site.gateway.id}")
    typer.echo(f"key               {known.kid}")
    typer.echo(_fingerprint(known.fingerprint))
    typer.echo(f"jwk               {{{f',{NEXT_ROW}'.join(members)}}}")


@app.command()
def rotate(why: Why, by: By = "", config: Config = None, json: Json = False) -> None:
    """Make a new key; the old one signs the event that announces it, and nothing later. Needs the running gateway."""
    from gateway.control.server import ask

    why = reason(why)
    answer = ask(_site(config).gateway.socket_path, "feed_rotate", why=why, by=by or user())
    if json:
        print_json(answer)
        return
    typer.echo(f"key               {answer['kid']}")
    typer.echo(_fingerprint(answer["fingerprint"]))
    typer.echo("Hand the new fingerprint over on paper too 请将新指纹以纸质方式送达.")


@app.command()
def resend(
    first: Annotated[
        int, typer.Argument(help="First number (seq), as `metergate verify` names it.", min=1, max=SEQ_MAX)
    ],
    last: Annotated[int, typer.Argument(help="Last number (seq), itself sent too.", min=1, max=SEQ_MAX)],
    sink: Annotated[str, typer.Option(help="Id of one of the feed's sinks. Default: all of them.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Send messages once more, the same bytes, on the backfill topic. Needs the running gateway.

    The numbers come from the receiver: `metergate verify` names those it misses, as in "gap 缺失 … messages 30-32 are missing".

    `metergate feed resend 30 32`

    `metergate feed resend 30 32 --sink regulator`
    """
    from gateway.commands.options import one_of
    from gateway.control.server import ask

    if last < first:
        raise typer.BadParameter(f"{last} is before {first}", param_hint="LAST")
    site = _site(config)
    feeds = [one.id for one in site.sinks if one.kind.startswith("feed")]
    if sink:
        one_of(sink, feeds, "sink of the feed in the site file")
    answer = ask(site.gateway.socket_path, "feed_resend", first=first, until=last + 1, sink=sink)
    oldest, newest = answer["oldest"], answer["following"] - 1
    if first > newest or last < oldest:
        there = f"there are {oldest} to {newest}" if oldest <= newest else "there are none yet"
        gone = "; older ones are not kept any more" if last < oldest and oldest > 1 else ""
        raise MetergateError(f"none of the messages {first} to {last}: {there}{gone}")
    if json:
        print_json(answer)
        return
    for name, count in answer["messages"].items():
        typer.echo(f"{name}: {count} of the messages {first} to {last} go again, behind what is live")
    here = f"{max(first, oldest)} to {min(last, newest)}"
    if first < oldest or last > newest:
        older = f", those before {oldest} are not kept any more" if first < oldest else ""
        later = f", {newest} is the last one" if last > newest else ""
        typer.echo(f"Of these there are only {here}{older}{later}.")
    if min(answer["messages"].values()) < min(last, newest) - max(first, oldest) + 1:
        typer.echo("What is not counted has not been sent yet, and goes anyway.")
