"""`metergate opcua`: which servers are trusted. Works on files, so it may run while the gateway runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.clock import SystemClock
from gateway.commands.loop import run as run_loop
from gateway.commands.options import Config, Json, config_path, one_of, print_json
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from pathlib import Path

    from drivers.opcua.certificates import Facts
    from drivers.opcua.trust import Offered
    from gateway.config.links import OpcuaConfig
    from gateway.config.models import Site

app = typer.Typer(help="OPC UA: which servers are trusted.", no_args_is_help=True)
trust = typer.Typer(
    help="Server certificates: list them, accept one that is shown, pin one by its fingerprint.",
    no_args_is_help=True,
)
app.add_typer(trust, name="trust")

LinkId = Annotated[str, typer.Argument(metavar="LINK", help="Id of an OPC UA link of the site file.")]


def _site(config: Path | None) -> Site:
    from gateway.config.site_file import load

    return load(config_path(config))


def _link(site: Site, name: str) -> OpcuaConfig:
    from gateway.config.links import OpcuaConfig

    known = {link.id: link for link in site.links if isinstance(link, OpcuaConfig)}
    return known[one_of(name, known, "OPC UA link in the site file")]


def _shown(link: OpcuaConfig) -> Offered:
    """Return the certificate the link's server shows for the link's own security. Raises MetergateError."""
    from drivers.opcua.trust import fetch

    found = run_loop(fetch(link.url, link.timeout_s))
    wanted = link.security.replace("_", "").lower()
    for one in found:
        if any(name.partition("/")[0].replace("_", "").lower() == wanted for name in one.policies):
            return one
    if not found:
        raise MetergateError(f"{link.url} shows no certificate: it offers no encrypted session")
    return found[0]


def _as_json(known: Facts) -> dict[str, Any]:
    from drivers.opcua.certificates import day

    return {
        "fingerprint": known.fingerprint,
        "subject": known.subject,
        "issuer": known.issuer,
        "from": day(known.begin_ns),
        "until": day(known.end_ns),
        "uri": known.uri,
        "hosts": list(known.hosts),
    }


def _print(known: Facts) -> None:
    from drivers.opcua.certificates import validity_fault

    for key, value in _as_json(known).items():
        typer.echo(f"  {key:<12} {', '.join(value) if isinstance(value, list) else value}")
    fault = validity_fault(known, SystemClock().wall_ns())
    if fault:
        typer.echo(f"  not valid    {fault}: the gateway will refuse it")


def _add(site: Site, offered: Offered, link: str, *, as_json: bool) -> None:
    from drivers.opcua.trust import TrustStore

    os.umask(0o077)
    path = TrustStore(site.gateway.state_dir).add(offered.der)
    if as_json:
        print_json({"link": link, "file": str(path)} | _as_json(offered.facts))
        return
    typer.echo(f"trusted: {path}\nA running gateway tries link {link} again by itself.")


@trust.command("list")
def list_(config: Config = None, json: Json = False) -> None:
    """Show the trusted servers, and the gateway's own certificate, which the servers must trust."""
    from drivers.opcua.certificates import OWN_CERTIFICATE, facts
    from drivers.opcua.trust import TrustStore

    store = TrustStore(_site(config).gateway.state_dir)
    own_file = store.own_folder / OWN_CERTIFICATE
    try:
        own = facts(own_file.read_bytes())
    except (OSError, ValueError):
        own = None
    known = store.known()
    if json:
        print_json(
            {
                "own": None if own is None else _as_json(own) | {"file": str(own_file)},
                "trusted": [
                    {"file": str(file)} | ({} if one is None else _as_json(one)) for file, one in known
                ],
            }
        )
        return
    typer.echo(f"own: {own_file}" if own else f"own: not made yet (on first use in {store.own_folder})")
    if own is not None:
        _print(own)
    for file, one in known:
        typer.echo(f"trusted: {file}")
        if one is None:
            typer.echo("  no certificate; remove the file")
        else:
            _print(one)
    if not known:
        typer.echo("trusted: none; `metergate opcua trust accept LINK` adds the server of a link")


@trust.command()
def accept(
    link: LinkId,
    config: Config = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Show the certificate of a link's server and trust it if you say so. Compare the fingerprint with the server's own."""
    if json and not yes:
        raise typer.BadParameter("with --json nothing is asked: add --yes, or use `pin`", param_hint="--json")
    site = _site(config)
    chosen = _link(site, link)
    offered = _shown(chosen)
    if not json:
        typer.echo(f"{chosen.url} shows")
        _print(offered.facts)
    if not yes and not typer.confirm("Trust this server?"):
        typer.echo("Nothing was accepted: the trusted servers are as before.")
        raise typer.Exit(1)
    _add(site, offered, link, as_json=json)


@trust.command()
def pin(
    link: LinkId,
    fingerprint: Annotated[
        str,
        typer.Argument(metavar="FINGERPRINT", help="SHA-256 fingerprint, as the server's own tool shows it."),
    ],
    config: Config = None,
    json: Json = False,
) -> None:
    """Trust the server of a link only if its certificate has this fingerprint."""
    from drivers.opcua.certificates import parse_fingerprint

    site = _site(config)
    chosen = _link(site, link)
    try:
        wanted = parse_fingerprint(fingerprint)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="FINGERPRINT") from error
    offered = _shown(chosen)
    if offered.facts.fingerprint != wanted:
        raise MetergateError(
            f"{chosen.url} shows a certificate with another fingerprint, {offered.facts.fingerprint}; nothing was changed"
        )
    _add(site, offered, link, as_json=json)
