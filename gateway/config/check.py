"""Cross checks of a site file: what only shows when tables are held against each other and against the system.

They run on whatever could be parsed, so that one run lists everything; a meter on a link that is itself
wrong is not blamed for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.config.check_periods import check_periods
from gateway.config.files import file_findings
from gateway.config.inventory import inventory_findings
from gateway.config.links import OpcuaConfig
from gateway.config.meters import check_meters
from gateway.config.transport import tls_findings
from gateway.errors import Finding
from gateway.secret_files import credential_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config.draft import Draft, Entry
    from gateway.config.links import LinkConfig

_CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


def check(draft: Draft) -> list[Finding]:
    """Return every finding that needs more than one table, or the file system, to be seen."""
    findings = [*_repeated([*draft.links, *draft.meters]), *_repeated(draft.sinks)]
    sums = {entry.path for entry in draft.aggregates}
    repeated = _repeated([*draft.meters, *draft.aggregates])
    findings += [finding for finding in repeated if finding.path.rpartition(".")[0] in sums]
    findings += _shared_endpoints(draft.links)
    outer: list[Entry[Any]] = [*draft.links, *draft.sinks]
    for entry in outer:
        if entry.value is not None:
            findings += _secrets(entry.path, entry.value, entry.body)
        if isinstance(entry.value, OpcuaConfig):
            findings += _opcua(entry.path, entry.value, entry.body)
    for sink in draft.sinks:
        if sink.value is not None:
            findings += tls_findings(sink.path, sink.value)
    return [*findings, *check_meters(draft), *check_periods(draft), *inventory_findings(draft.inventory)]


def _repeated(entries: Sequence[Entry[Any]]) -> Iterator[Finding]:
    """Yield a finding for each id used again; links and meters share one, as events and maintenance name either."""
    first: dict[str, str] = {}
    for entry in entries:
        entry_id = entry.body.get("id")
        if not isinstance(entry_id, str) or not entry_id:
            continue
        if entry_id in first:
            hint = f"{first[entry_id]} has it already"
            yield Finding(f"{entry.path}.id", f'"{entry_id}" again', "an id of its own", hint)
        first.setdefault(entry_id, entry.path)


def _shared_endpoints(links: Sequence[Entry[LinkConfig]]) -> Iterator[Finding]:
    """Yield a finding for each link whose connection an earlier link has already."""
    first: dict[str, Entry[LinkConfig]] = {}
    for entry in links:
        if entry.value is None:
            continue
        endpoint = entry.value.endpoint()
        if endpoint not in first:
            first[endpoint] = entry
            continue
        found = (
            f'{endpoint}, which link "{first[endpoint].body.get("id")}" ({first[endpoint].path}) has already'
        )
        hint = f'one connection is one link: let the meters of "{entry.value.id}" name that link and remove this one'
        yield Finding(f"{entry.path}.{entry.value.endpoint_key}", found, "an endpoint of its own", hint)


def _secrets(path: str, table: Any, body: Any) -> Iterator[Finding]:
    """Yield what is wrong with the sources of a link's or sink's secret."""
    for word in ("password", "token"):
        file, credential = getattr(table, f"{word}_file", None), getattr(table, f"{word}_credential", "")
        if file is not None and credential:
            found = f"{word}_file and {word}_credential"
            yield Finding(f"{path}.{word}_credential", found, "one source of the secret", "keep one of them")
        if word == "password" and (file is not None or credential) and not table.user:
            yield Finding(f"{path}.user", "nothing", "the user the password belongs to", 'write user = "…"')
        yield from file_findings(
            f"{path}.{word}_file", file, "a file that holds the secret alone, on one line"
        )
        if credential:
            yield from _credential(f"{path}.{word}_credential", credential)


def _credential(path: str, name: str) -> Iterator[Finding]:
    """Yield a finding if systemd did not hand over a credential; without systemd nothing can be said."""
    if not _CREDENTIAL.fullmatch(name):
        yield Finding(path, "a name that is not shown", "the name of a systemd credential: A-Z a-z 0-9 _ . -")
        return
    file = credential_file(name)
    if file is not None and not file.is_file():
        hint = f"add LoadCredential={name}:FILE to the unit"
        yield Finding(path, f'no credential "{name}"', "a credential systemd hands over", hint)


def _opcua(path: str, link: OpcuaConfig, body: Any) -> Iterator[Finding]:
    """Yield what does not go together in an OPC UA link."""
    if link.security == "none":
        for key in ("security_mode", "cert_file", "key_file", "user_cert_file"):
            if key in body:
                found = f'{key}, but security = "none"'
                yield Finding(
                    f"{path}.security", found, "a security policy", 'write security = "basic256sha256"'
                )
    if link.mode == "poll":
        for key in ("reporting", "sampling", "queue", "deadband"):
            if key in body:
                found = f'{key}, but mode = "poll"'
                yield Finding(f"{path}.mode", found, "a link that subscribes", 'write mode = "subscribe"')
    pairs = (("cert_file", "key_file"), ("user_cert_file", "user_key_file"))
    for one, other in (*pairs, *(pair[::-1] for pair in pairs)):
        if getattr(link, one) is not None and getattr(link, other) is None:
            yield Finding(f"{path}.{other}", "nothing", f"the partner of {one}", f'write {other} = "…"')
        yield from file_findings(f"{path}.{one}", getattr(link, one), "a PEM or DER file")
    if link.user and link.user_cert_file is not None:
        yield Finding(f"{path}.user", "user and user_cert_file", "one way to log in", "keep one of them")
    if link.sampling_s > link.reporting_s:
        yield Finding(
            f"{path}.sampling",
            f"{link.sampling_s:g} s",
            "no more than reporting",
            "raise reporting or lower sampling",
        )
