"""An evidence pack (证据包): one zip with everything a result stands on, its hashes and one signature; contract: docs/specs/evidence-pack.md.

The same members give the same bytes: names sorted, times fixed. The signature is over the hash of the manifest, the manifest has
the hash of every member. Its `typ` is not the feed's: a pack is never taken for a message, nor a message for a pack.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from gateway.errors import MetergateError
from gateway.feed import jws
from gateway.feed.keys import Key, KeyRefused, PublicKey, from_body

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

MANIFEST, SIGNATURE = "manifest.json", "manifest.jws"
FORMAT = "metergate-evidence-pack/1"
TYP = "metergate-pack+jws"
TIME = (1980, 1, 1, 0, 0, 0)  # the first a zip can hold: the same members make the same file
MODE = 0o100644 << 16
MEMBERS_MAX = 50_000
MEMBER_BYTES_MAX = 1 << 30
UNPACKED_BYTES_MAX = 8 << 30
MANIFEST_BYTES_MAX = 64 << 20
SLICE_BYTES = 1 << 20
LEADS_OUT = re.compile(r"^[/\\]|^[A-Za-z]:|\\|(^|/)\.\.?(/|$)|[\x00-\x1f]")
"""Names of members that would be written elsewhere than beside the others when the pack is unpacked."""
BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)


def make(members: Mapping[str, bytes], about: Mapping[str, Any], key: Key | None) -> bytes:
    """Return a pack. about: what the manifest says besides, such as result and inventory. key: None: not signed."""
    files = [
        {"name": name, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        for name, body in sorted(members.items())
    ]
    signer = None if key is None else key.body
    manifest = orjson.dumps(
        {"format": FORMAT, **about, "key": signer, "members": files},
        option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS,
    )
    whole = {**members, MANIFEST: manifest}
    if key is not None:
        statement = {"format": FORMAT, "manifest_sha256": hashlib.sha256(manifest).hexdigest()}
        whole[SIGNATURE] = jws.sign(key.private, key.kid, orjson.dumps(statement), TYP)
    return zipped(whole)


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Return a zip that is the same for the same members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, body in sorted(members.items()):
            info = zipfile.ZipInfo(name, TIME)
            info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, MODE, 3
            archive.writestr(info, body)
    return target.getvalue()


@dataclass(frozen=True, slots=True)
class Checked:
    """What a pack turned out to be. findings: what is wrong, empty: it is whole. signer: key that signed, None: nobody did.

    is_trusted: the key is one that was given; without one it is the pack's own, whose fingerprint stands on paper.
    """

    manifest: dict[str, Any]
    members: int
    findings: tuple[str, ...]
    signer: PublicKey | None
    is_trusted: bool

    @property
    def is_whole(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.findings


def check(path: Path, trusted: Collection[PublicKey] = ()) -> Checked:
    """Return what a pack is: every member against the manifest, the manifest against the signature. Raises MetergateError if it is no pack.

    trusted: keys to rely on, known on paper; none: only that the pack's own key signed it is checked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _checked(archive, trusted)
    except OSError as error:
        raise MetergateError(f"{path}: {error.strerror or error}") from error
    except (*BROKEN, NotImplementedError, RuntimeError) as error:
        raise MetergateError(f"{path} is no zip, or a damaged one: {error}") from error


def _checked(archive: zipfile.ZipFile, trusted: Collection[PublicKey]) -> Checked:
    entries = archive.infolist()
    names = Counter(one.filename for one in entries)
    if MANIFEST not in names or len(entries) > MEMBERS_MAX:
        raise MetergateError(
            f"{archive.filename} is no evidence pack: it has no {MANIFEST}, or too many members"
        )
    findings = [f"{name} is there twice" for name, count in sorted(names.items()) if count > 1]
    findings += [
        f"{name} leads out of the pack: do not unpack it" for name in names if LEADS_OUT.search(name)
    ]
    text = _read(archive, MANIFEST, MANIFEST_BYTES_MAX)
    manifest = _manifest(text)
    signer, is_trusted, said = _signer(archive, names, text, manifest, trusted)
    findings += said
    listed = {str(one["name"]): one for one in manifest["members"]}
    if len(listed) < len(manifest["members"]):
        findings.append(f"{MANIFEST} lists a member twice")
    left = UNPACKED_BYTES_MAX
    for name in sorted(set(names) - set(listed) - {MANIFEST, SIGNATURE}):
        findings.append(f"{name} is not in the manifest: it was added")
    for name, one in listed.items():
        if name not in names:
            findings.append(f"{name} is missing")
            continue
        digest, size = _digest(archive, name, left)
        left -= size
        if left < 0:
            raise MetergateError(
                f"{archive.filename} unpacks to more than {UNPACKED_BYTES_MAX} bytes: this is no evidence pack"
            )
        if digest != one["sha256"]:
            findings.append(f"{name} was changed: its SHA-256 is not the manifest's")
    return Checked(manifest, len(listed), tuple(findings), signer, is_trusted)


def _manifest(text: bytes) -> dict[str, Any]:
    try:
        manifest = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MetergateError(f"{MANIFEST} is no JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise MetergateError(f"{MANIFEST} is not of the format {FORMAT}")
    members = manifest.get("members")
    is_listed = isinstance(members, list) and all(
        isinstance(one, dict) and {"name", "sha256"} <= one.keys() for one in members
    )
    if not is_listed:
        raise MetergateError(f"{MANIFEST} does not list its members")
    return manifest


def _signer(
    archive: zipfile.ZipFile,
    names: Collection[str],
    text: bytes,
    manifest: Mapping[str, Any],
    trusted: Collection[PublicKey],
) -> tuple[PublicKey | None, bool, list[str]]:
    """Return who signed the manifest, whether that is a key to trust, and what is wrong with it."""
    if SIGNATURE not in names:
        return None, False, ["it is not signed"] if trusted or manifest.get("key") else []
    try:
        parsed = jws.parse(_read(archive, SIGNATURE, jws.MESSAGE_BYTES_MAX), TYP)
        own = _own_key(manifest)
    except (jws.Malformed, KeyRefused) as error:
        return None, False, [f"the signature cannot be read: {error}"]
    signer = next((one for one in trusted or [own] if jws.verify(parsed, one.public)), None)
    if signer is None:
        whose = "none of the keys given" if trusted else "not the key it names"
        return None, False, [f"the signature is by {whose}, or the pack was changed"]
    try:
        said = orjson.loads(parsed.payload)
    except orjson.JSONDecodeError:
        said = None
    if said != {"format": FORMAT, "manifest_sha256": hashlib.sha256(text).hexdigest()}:
        return signer, bool(trusted), [f"{MANIFEST} was changed: it is not the one that was signed"]
    return signer, bool(trusted), []


def _own_key(manifest: Mapping[str, Any]) -> PublicKey:
    body = manifest.get("key")
    kid = body.get("kid") if isinstance(body, dict) else None
    return from_body(body, kid.rpartition("-")[0] if isinstance(kid, str) else "")


def _read(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    with archive.open(name) as member:
        text = member.read(most + 1)
    if len(text) > most:
        raise MetergateError(f"{name} has more than {most} bytes: this is no evidence pack")
    return text


def _digest(archive: zipfile.ZipFile, name: str, left: int) -> tuple[str, int]:
    """Return hash and bytes of a member; "" for one that is larger than any pack's or than what is left, or whose zip is damaged."""
    digest, total = hashlib.sha256(), 0
    try:
        with archive.open(name) as member:
            while part := member.read(SLICE_BYTES):
                total += len(part)
                if total > min(MEMBER_BYTES_MAX, left):
                    return "", total
                digest.update(part)
    except BROKEN:
        return "", total
    return digest.hexdigest(), total
