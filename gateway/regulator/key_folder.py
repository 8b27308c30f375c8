"""Public keys that are trusted, from a folder; each speaks for one gateway alone.

`GATEWAY.pem`, `GATEWAY.jwk` or `GATEWAY.json`, in the folder itself or, where gateways of several enterprises share a name, in
`REGION/ENTERPRISE/`; further keys of one gateway as `GATEWAY@ANYTHING.pem`. The folder is read anew when a key is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import MetergateError
from gateway.feed import jws
from gateway.feed.keys import KID_HEX, KeyRefused, load_public
from gateway.feed.trust import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.feed.keys import PublicKey
    from gateway.interfaces import Clock

ENDINGS = {".pem", ".jwk", ".json"}
FILE_MAX = 64 * 1024  # bytes
LOOK_S = 5.0  # the folder is not read more often than this


class KeyFolder:
    """The public keys of a folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Read them. Raises MetergateError that names the file, and if there is none."""
        self._folder, self._clock = folder, clock
        self._keys = _read(folder)
        if not self._keys:
            raise MetergateError(
                f"{folder}: no public keys; expected GATEWAY.pem, GATEWAY.jwk or GATEWAY.json"
            )
        self._read_s = clock.monotonic()

    def __len__(self) -> int:
        """Return how many keys there are."""
        return sum(map(len, self._keys.values()))

    def all(self) -> list[PublicKey]:
        """Return every key there is."""
        return [key for keys in self._keys.values() for key in keys]

    def bound(self) -> dict[str, list[PublicKey]]:
        """Return the keys by whom they speak for: REGION/ENTERPRISE/GATEWAY, or GATEWAY where no folder says more."""
        return {name: list(keys) for name, keys in self._keys.items()}

    def judge(self, parsed: jws.Parsed, site: str) -> Verdict:
        """Return what the signature of a message is worth. site: REGION/ENTERPRISE/GATEWAY, which its topic and payload name."""
        verdict = self._judge(parsed, site)
        if verdict is Verdict.UNKNOWN and self._clock.monotonic() - self._read_s >= LOOK_S:
            self._read_s = self._clock.monotonic()
            try:
                self._keys = _read(self._folder)
            except MetergateError:  # a file that is being written; what was read before stays
                return verdict
            verdict = self._judge(parsed, site)
        return verdict

    def _judge(self, parsed: jws.Parsed, site: str) -> Verdict:
        keys = self._keys.get(site) or self._keys.get(site.rpartition("/")[2]) or []
        named = [key for key in keys if key.is_named(parsed.header.kid)]
        if not named:
            return Verdict.UNKNOWN
        return Verdict.GOOD if any(jws.verify(parsed, key.public) for key in named) else Verdict.BAD


def _read(folder: Path) -> dict[str, list[PublicKey]]:
    """Return the keys by gateway, or by REGION/ENTERPRISE/GATEWAY. Raises MetergateError."""
    if not folder.is_dir():
        raise MetergateError(f"{folder}: no such folder of public keys")
    keys: dict[str, list[PublicKey]] = {}
    for pattern in ("*", "*/*/*"):
        for path in sorted(folder.glob(pattern)):
            if path.suffix not in ENDINGS or not path.is_file():
                continue
            relative = path.relative_to(folder).parent
            name = (relative / path.stem.partition("@")[0]).as_posix()
            keys.setdefault(name, []).extend(_load(path, path.stem.partition("@")[0]))
    return keys


def _load(path: Path, gateway: str) -> list[PublicKey]:
    """Return the keys of a file; one without a name (PEM) gets its gateway's. Raises MetergateError."""
    try:
        with path.open("rb") as file:
            found = load_public(file.read(FILE_MAX))
    except OSError as error:
        raise MetergateError(f"{path}: {error.strerror}") from error
    except KeyRefused as error:
        raise MetergateError(f"{path}: {error}") from error
    named = [key if key.kid else key._replace(kid=f"{gateway}-{key.fingerprint[:KID_HEX]}") for key in found]
    for key in named:
        if not key.is_of(gateway):
            raise MetergateError(
                f"{path}: is the key {key.kid}, not one of {gateway}; name the file after its gateway"
            )
    return named
