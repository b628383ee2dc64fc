"""Files as sources keep them: expanded from globs in a fixed order, with an identity that proves their content.

The list is frozen when a build or run begins; `check` tells at its end whether what was read is what was listed. `File` is
what all else asks of a file, wherever it lies.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from featurestore.atomic import me
from featurestore.errors import SourceError

_BLOCK = 1 << 22
_HASHED_AT_ONCE = 4


class File(Protocol):
    """A file as it was listed, somewhere. Equal ones are the same file, unchanged as far as is known without reading it."""

    @property
    def name(self) -> str:
        """What errors and manifests call it."""

    @property
    def size(self) -> int: ...

    @property
    def location(self) -> str:
        """Where an engine finds it: a path, or a URL without credentials."""

    @property
    def version(self) -> tuple[object, ...]:
        """What tells it, without reading, from what may lie there another time."""

    def opened(self) -> AbstractContextManager[Any]:
        """What Arrow reads it from: a path, or something to read and seek in."""

    def footer(self) -> Any:
        """What Arrow reads the footer of a Parquet file from."""

    def identity(self, known: IdentityCache) -> dict[str, object]:
        """What proves its content: {"path", "size", "sha256"}, or what the store of it tells: {"path", "size", "etag"}.
        Raises: SourceError FS326 if it has changed since it was listed."""

    def unchanged(self) -> bool: ...

    def check(self) -> None:
        """Raises: SourceError FS326 if the file is gone or changed."""


@dataclass(frozen=True)
class FileStamp:
    """A file on a disk. `name` is its path relative to the project, with forward slashes."""

    name: str
    path: Path
    size: int
    mtime_ns: int

    @property
    def location(self) -> str:
        return str(self.path)

    @property
    def version(self) -> tuple[object, ...]:
        return self.size, self.mtime_ns

    def opened(self) -> AbstractContextManager[Path]:
        return nullcontext(self.path)

    def footer(self) -> Path:
        return self.path

    def identity(self, known: IdentityCache) -> dict[str, object]:
        return {"path": self.name, "size": self.size, "sha256": known.digest(self)}

    def unchanged(self) -> bool:
        try:
            now = self.path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns) == (self.size, self.mtime_ns)

    def check(self) -> None:
        if not self.unchanged():
            raise changed(self.name)


def changed(name: str) -> SourceError:
    return SourceError("FS326", "the file changed while it was read", where=name, hint="run again")


def expand(patterns: Sequence[str], root: Path, *, where: str = "") -> tuple[FileStamp, ...]:
    """The files of all patterns, each once, sorted by name.

    Raises: SourceError FS321 when a pattern matches nothing.
    """
    found: dict[str, FileStamp] = {}
    for pattern in patterns:
        absolute = pattern if os.path.isabs(pattern) else str(root / pattern)
        paths = [absolute] if os.path.isfile(absolute) else glob.glob(absolute, recursive=True)
        paths = [p for p in paths if os.path.isfile(p)]
        if not paths:
            raise SourceError("FS321", f"no file matches {pattern!r}", where=where, hint="the path, relative to the project")
        for path in paths:
            name = os.path.relpath(path, root).replace(os.sep, "/")
            found[name] = stamped(Path(path), name)
    return tuple(found[name] for name in sorted(found))


def stamped(path: Path, name: str) -> FileStamp:
    """A file as it is now. Raises: OSError."""
    stat = path.stat()
    return FileStamp(name, path, stat.st_size, stat.st_mtime_ns)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class IdentityCache:
    """sha256 of files, remembered by (path, size, mtime) so that an unchanged file is hashed once.

    A file younger than two seconds is not remembered: it could change again within the clock's grain.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, list[object]] = {}
        if path is not None and path.exists():
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
                self._known = dict(kept["files"]) if kept["format"] == 1 else {}
            except (ValueError, KeyError, TypeError):
                self._known = {}

    def identify(self, files: Iterable[File]) -> list[dict[str, object]]:
        """The identities of files, in the order given. Raises: SourceError FS326 for a file that has changed since."""
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _HASHED_AT_ONCE)) as pool:
            found = list(pool.map(lambda file: file.identity(self), files))
        self._save()
        return found

    def digest(self, stamp: FileStamp) -> str:
        """The sha256 of a file. Raises: SourceError FS326."""
        key, version = str(stamp.path.resolve()), list(stamp.version)
        entry = self._known.get(key)
        if entry is not None and entry[:2] == version:
            return str(entry[2])
        try:
            found = sha256(stamp.path)
        finally:
            stamp.check()
        if time.time_ns() - stamp.mtime_ns > 2_000_000_000:
            self._known[key] = [*version, found]
        return found

    def _save(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(f".{me()}")
        aside.write_text(json.dumps({"format": 1, "files": self._known}), encoding="utf-8")
        aside.replace(self._path)
