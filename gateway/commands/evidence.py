"""`metergate evidence`: the pack that shows what a result stands on, and its check."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.fitting import (  # noqa: TC001 - typer reads the annotations
    AsOf,
    EvidenceFile,
    InventoryFile,
    RulesetName,
)
from gateway.commands.options import Config, Json, print_json
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.models import Site
    from gateway.feed.keys import Key, PublicKey
    from gateway.reports.pack import Checked

app = typer.Typer(
    help="Evidence (证据): bundle what a result stands on, signed, and check such a pack.",
    no_args_is_help=True,
)


@app.command()
def pack(
    out: Annotated[Path, typer.Option(help="File to write, as evidence-2026-08.zip.")],
    inventory: InventoryFile = None,
    evidence: EvidenceFile = None,
    ruleset: RulesetName = "",
    as_of: AsOf = "",
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Without a signature, where the gateway has no key.")
    ] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Bundle an evidence pack (证据包): result, reports, ledger with revisions, certificates, rules, evidence, bills, inspections.

    Every member stands with its SHA-256 in the manifest, which the gateway's feed key signs. Run it as the gateway's user or root.
    """
    from gateway.clock import SystemClock, local
    from gateway.commands.evidence_work import Members, about, write
    from gateway.commands.fitting_work import evaluated
    from gateway.reports.pack import make

    found = evaluated(config, inventory=inventory, evidence=evidence, ruleset=ruleset, as_of=as_of)
    key = None if unsigned else _key(found.site)
    zone = "UTC" if found.site is None else found.site.site.timezone
    made_at = local(SystemClock().wall_ns(), zone)
    members = Members(found, made_at)
    members.gather()
    gateway = "" if found.site is None else found.site.gateway.id
    write(out, make(members.files, about(found, made_at, gateway, members.left_out), key))
    kid = None if key is None else key.kid
    if json:
        print_json(
            {"file": str(out), "members": sorted(members.files), "left_out": members.left_out, "kid": kid}
        )
        return
    typer.echo(
        f"wrote {out}: {len(members.files)} members, "
        + (f"signed with {kid}" if kid else "NOT SIGNED 未签名")
    )
    for text in members.left_out:
        typer.echo(f"left out: {text}")


def _key(site: Site | None) -> Key:
    """Return the key that signs. Raises MetergateError where there is none."""
    from gateway.feed.keys import KEY_FILE, load_key

    if site is None:
        raise MetergateError(
            "without a site file there is no key to sign with: name one with --config, or say --unsigned"
        )
    path = site.gateway.state_dir / KEY_FILE
    if not path.exists():
        raise MetergateError(
            f"{path}: there is no key; the gateway makes it when its feed first starts. To go without a signature say --unsigned"
        )
    return load_key(path, site.gateway.id)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The pack.", exists=True, dir_okay=False)],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            help="Public key to trust: what `metergate feed key --json` or `--pem` gave. May be repeated."
        ),
    ] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Accept one that is not signed.")] = False,
    json: Json = False,
) -> None:
    """Check a pack (核验): members, manifest, signature.

    Every member against the manifest, the manifest against the signature. Exit code 1 if anything is wrong.

    Without --key the signature is checked with the key in the pack: compare its fingerprint with the one on paper.
    """
    from gateway.reports.pack import check as checked

    found = checked(file, _keys(key or []))
    is_ok = found.is_whole and (found.signer is not None or unsigned)
    if json:
        print_json(_body(found, is_ok=is_ok))
    else:
        _show(found, is_ok=is_ok)
    if not is_ok:
        raise typer.Exit(1)


def _keys(files: list[Path]) -> list[PublicKey]:
    from gateway.feed.keys import KeyRefused, load_public

    found: list[PublicKey] = []
    for file in files:
        try:
            found += load_public(file.read_bytes())
        except (OSError, KeyRefused) as error:
            raise MetergateError(f"--key {file}: {error}") from error
    return found


def _body(found: Checked, *, is_ok: bool) -> dict[str, object]:
    signer = found.signer
    return {
        "ok": is_ok,
        "findings": list(found.findings),
        "signed": signer is not None,
        "fingerprint": None if signer is None else signer.fingerprint,
        "trusted": found.is_trusted,
        "members": found.members,
        "manifest": {name: value for name, value in found.manifest.items() if name != "members"},
    }


def standing(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return on which inventory and evidence a pack's result stands, as its manifest says."""
    revision, known = manifest.get("revision"), manifest.get("evidence")
    stands = "NOT APPLIED 未批准: a file nobody approved" if revision is None else f"revision {revision}"
    if not isinstance(known, dict):
        return [("inventory", stands), ("evidence", "none 无, or the pack does not say")]
    if known.get("origin") == "history":
        return [
            ("inventory", stands),
            ("evidence", f"the gateway's own history 本网关历史数据: {known.get('source')}"),
        ]
    told = f"A FILE handed in 由文件提交, SHA-256 {known.get('sha256')}; it says of itself: {known.get('source')}"
    return [("inventory", stands), ("evidence", told)]


def _show(found: Checked, *, is_ok: bool) -> None:
    from gateway.commands.plain import plain
    from gateway.feed.keys import for_paper

    manifest = found.manifest
    for name in ("organization", "gateway", "made_at", "as_of", "inventory_digest"):
        typer.echo(f"{name:<17} {plain(str(manifest.get(name, '')))}")
    for name, text in standing(manifest):
        typer.echo(f"{name:<17} {plain(text)}")
    typer.echo(f"{'members':<17} {found.members}")
    if found.signer is None:
        typer.echo("signature 签名     NONE 无签名")
    else:
        how = (
            "a key that was given"
            if found.is_trusted
            else "the pack's own key: compare the fingerprint with paper"
        )
        typer.echo(f"signature 签名     good, by {how}")
        typer.echo(f"fingerprint 指纹   {for_paper(found.signer.fingerprint)}")
    for text in found.findings:
        typer.echo(f"WRONG 不符         {plain(text)}")
    typer.echo("whole 完整" if is_ok else "NOT accepted 不予接受")
