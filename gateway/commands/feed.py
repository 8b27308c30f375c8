"""`metergate feed`: the key that goes on paper, a new one, and messages once more."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import By, Config, Json, Why, config_path, print_json, reason, user

if TYPE_CHECKING:
    from gateway.config.models import Site

app = typer.Typer(help="The regulators' feed: its key, and messages once more.", no_args_is_help=True)

SEQ_MAX = 2**63 - 1


def _site(config: Path | None) -> Site:
    from gateway.config.site_file import load

    return load(config_path(config))


@app.command()
def key(
    pem: Annotated[Path | None, typer.Option(help="Write the public key to this file as PEM too.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Print the gateway's public key and its fingerprint, to be handed over on paper.

    Reads the state folder, beside a running gateway too: run it as the gateway's user or as root. With --json it prints what
    `metergate verify --key` takes.
    """
    from gateway.errors import MetergateError
    from gateway.feed.keys import KEY_FILE, for_paper, load_key

    site = _site(config)
    known = load_key(site.gateway.state_dir / KEY_FILE, site.gateway.id).known
    if pem is not None:
        try:
            pem.write_text(known.pem, encoding="ascii")
        except OSError as error:
            raise MetergateError(f"--pem {pem}: {error.strerror}") from error
    if json:
        found = {"kid": known.kid, "fingerprint": known.fingerprint, "paper": for_paper(known.fingerprint)}
        print_json(found | {"jwk": known.jwk, "pem": known.pem})
        return
    import orjson

    grouped = for_paper(known.fingerprint).split(" ")
    typer.echo(f"gateway      {site.gateway.id}")
    typer.echo(f"key          {known.kid}")
    typer.echo(f"fingerprint  {' '.join(grouped[:8])}")
    typer.echo(f"  指纹       {' '.join(grouped[8:])}")
    typer.echo(f"jwk          {orjson.dumps(known.jwk).decode()}")


@app.command()
def rotate(why: Why, by: By = "", config: Config = None, json: Json = False) -> None:
    """Make a new key; the old one signs the event that announces it, and nothing later. Needs the running gateway."""
    from gateway.control.server import ask
    from gateway.feed.keys import for_paper

    why = reason(why)
    answer = ask(_site(config).gateway.socket_path, "feed_rotate", why=why, by=by or user())
    if json:
        print_json(answer)
        return
    typer.echo(f"key          {answer['kid']}")
    typer.echo(f"fingerprint  {for_paper(answer['fingerprint'])}")
    typer.echo("Hand the new fingerprint over on paper too 请将新指纹以纸质方式送达.")


@app.command()
def resend(
    first: Annotated[int, typer.Argument(help="First seq.", min=1, max=SEQ_MAX)],
    last: Annotated[int, typer.Argument(help="Last seq.", min=1, max=SEQ_MAX)],
    sink: Annotated[str, typer.Option(help="Id of one of the feed's sinks. Default: all of them.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Send messages once more, the same bytes, on the backfill topic. Needs the running gateway."""
    from gateway.commands.options import one_of
    from gateway.control.server import ask

    if last < first:
        raise typer.BadParameter(f"{last} is before {first}", param_hint="LAST")
    site = _site(config)
    feeds = [one.id for one in site.sinks if one.kind.startswith("feed")]
    if sink:
        one_of(sink, feeds, "sink of the feed in the site file")
    answer = ask(site.gateway.socket_path, "feed_resend", first=first, until=last + 1, sink=sink)
    if json:
        print_json(answer)
        return
    for name, count in answer["messages"].items():
        typer.echo(f"{name}: {count} of the messages {first} to {last} go again, behind what is live")
    if first < answer["oldest"]:
        typer.echo(f"messages before {answer['oldest']} are not kept any more")
