"""Join keys as keyed hashes: equal keys look equal, and without the secret nobody can tell which key it was, nor try all.

The secret lies in a file of its own, outside of the log, so that who may read the log need not be able to read it. Whoever
comes first makes it; all workers, restarts and machines that share the file hash alike.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from featurestore.atomic import aside
from featurestore.errors import StoreError
from featurestore.online.codec import encode_key

SECRET_BYTES = 32
HASH_BYTES = 16


class Hasher:
    """Hashes keys with the secret of a file, which is made if it is not there. Raises: StoreError FS484."""

    def __init__(self, path: Path) -> None:
        try:
            self._secret = _read(path)
        except (OSError, ValueError) as error:
            why = (getattr(error, "strerror", None) or str(error)).lower()
            raise StoreError(
                "FS484", f"no secret to hash keys with: {why}", where=str(path), hint="[serve_log] secret"
            ) from None

    def hashed(self, values: Sequence[object], family: str) -> list[str | None]:
        """Values of one key family, as 32 hexadecimal digits each; null stays null."""
        return [None if value is None else self._one(value, family) for value in values]

    def _one(self, value: object, family: str) -> str:
        """Values that look up the same, such as 7 and Decimal(7), hash the same."""
        try:
            told = encode_key((value,), (family,))
        except ValueError:  # one that no record can have
            told = repr(value).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(told, digest_size=HASH_BYTES, key=self._secret, person=family.encode()).hexdigest()


def _read(path: Path) -> bytes:
    if not path.exists():
        _make(path)
    secret = bytes.fromhex(path.read_text(encoding="ascii"))
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"it must be {SECRET_BYTES} bytes in hexadecimal digits")
    return secret


def _make(path: Path) -> None:
    """Write a new secret, for the owner alone; if another process was faster, its secret stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = aside(path.with_name(f"{path.name}.{secrets.token_hex(4)}"))
    handle = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(written, path)
    finally:
        written.unlink(missing_ok=True)
