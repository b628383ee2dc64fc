"""Files in object stores, by URL: s3://, and every other scheme of fsspec whose library is installed.

Decides how URLs become files, what proves that one has not changed, how bytes are fetched, and what is said when the store
does not answer. Credentials and endpoints come from the environment or the machine's profile, as the scheme's own library finds
them; nothing here writes or shows them. Which bytes of a file are wanted is for others.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from featurestore.atomic import disk_errors
from featurestore.errors import FeatureStoreError, SourceError, StoreError
from featurestore.sources.extras import missing
from featurestore.sources.files import File, IdentityCache, changed

_GLOB = re.compile(r"[*?\[]")
_BLOCK = 1 << 23
_TAIL = 1 << 15
"""So much of a file's end is asked for first: most footers fit."""
_FOOTERS = 100_000
"""So many footers are remembered, of about 10 KB each."""
_AT_ONCE = 16
_SECONDS = {"connect_timeout": 5, "read_timeout": 30}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "s3": {"default_cache_type": "none", "config_kwargs": {**_SECONDS, "retries": {"max_attempts": 3}}},
}
"""What a scheme's filesystem is told, beside what it finds in the environment."""
_PACKAGES = {"s3": "featurestore[s3]", "s3a": "featurestore[s3]", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
_CHANGED_AT = ("LastModified", "last_modified", "mtime", "updated", "created")
Reach = Mapping[str, Any]
"""What a scheme's filesystem is told beside, by a catalog that knows it: not kept, nor shown."""
Range = tuple[str, int, int]
"""A key, and the first byte and the end of what is wanted of it."""


class ObjectStore:
    """One filesystem of fsspec, as it is reached from here. All it raises says what, and shows no credentials.

    footers: of files that have been read, by what names their content.
    """

    def __init__(self, scheme: str, filesystem: Any) -> None:
        self.scheme, self._fs = scheme, filesystem
        self.footers: dict[ObjectFile, bytes] = {}

    def info(self, key: str) -> Mapping[str, Any]:
        """Raises: FileNotFoundError; StoreError FS482, FS483."""
        with reached(self.scheme, key):
            self._fs.invalidate_cache()
            found: Mapping[str, Any] = self._fs.info(key)
            return found

    def glob(self, pattern: str) -> Mapping[str, Mapping[str, Any]]:
        """Key -> info of what a pattern matches; of a bucket that is not there, nothing. Raises: StoreError FS482, FS483."""
        with reached(self.scheme, pattern):
            self._fs.invalidate_cache()
            try:
                found: Mapping[str, Mapping[str, Any]] = self._fs.glob(pattern, detail=True)
            except FileNotFoundError:
                return {}
            return found

    def fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        """What is in some ranges, many at a time. Raises: FileNotFoundError; StoreError FS482, FS483."""
        keys, starts, ends = [r[0] for r in ranges], [r[1] for r in ranges], [r[2] for r in ranges]
        with reached(self.scheme, keys[0] if keys else ""):
            found = self._fs.cat_ranges(keys, starts, ends, on_error="raise")
        return [bytes(content) for content in found]


@dataclass(frozen=True)
class ObjectFile:
    """A file in an object store. name: its URL. tag: what the store names its content by; "" if it names none, then `seen`
    tells when it was written. tail: its last bytes, fetched already."""

    name: str
    size: int
    tag: str
    seen: str
    key: str = field(compare=False)
    store: ObjectStore = field(compare=False, repr=False)
    tail: bytes = field(default=b"", compare=False, repr=False)

    @property
    def location(self) -> str:
        return self.name

    @property
    def version(self) -> tuple[object, ...]:
        return (self.size, self.tag) if self.tag else (self.size, self.seen)

    @contextmanager
    def opened(self) -> Iterator[Any]:
        import pyarrow as pa

        with pa.PythonFile(Reading(self), mode="r") as file:
            yield file

    def footer(self) -> Any:
        import pyarrow as pa

        return pa.BufferReader(self.tail)

    def identity(self, known: IdentityCache) -> dict[str, object]:
        if self.tag:
            return {"path": self.name, "size": self.size, "etag": self.tag}
        digest = hashlib.sha256()
        for start in range(0, self.size, _BLOCK):
            digest.update(self.read(start, min(start + _BLOCK, self.size)))
        self.check()
        return {"path": self.name, "size": self.size, "sha256": digest.hexdigest()}

    def unchanged(self) -> bool:
        try:
            now = object_file(self.name, self.key, self.store.info(self.key), self.store)
        except FileNotFoundError:
            return False
        return now == self

    def check(self) -> None:
        if not self.unchanged():
            raise changed(self.name)

    def read(self, start: int, end: int) -> bytes:
        """Some of its bytes. Raises: SourceError FS326 if they are not there any more; StoreError FS482, FS483."""
        at = self.size - len(self.tail)
        if start >= at:
            return self.tail[start - at : end - at]
        return fetched([(self, start, end)])[0]


class Reading(io.RawIOBase):
    """A file's bytes, as Arrow asks for them: nothing is read ahead."""

    def __init__(self, file: ObjectFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        return self._file.size

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._file.size if size is None or size < 0 else min(self._at + size, self._file.size)
        found = self._file.read(self._at, end) if end > self._at else b""
        self._at += len(found)
        return found


def object_file(name: str, key: str, info: Mapping[str, Any], store: ObjectStore) -> ObjectFile:
    """A file as its store tells of it."""
    tags = [str(value).strip('"') for field_name, value in info.items() if field_name.lower() == "etag" and value]
    seen = next((_instant(info[name]) for name in _CHANGED_AT if info.get(name) is not None), "")
    return ObjectFile(name, int(info["size"] or 0), tags[0] if tags else "", "" if tags else seen, key, store)


def _instant(told: Any) -> str:
    """When a file was written, in one spelling: a listing may tell it by a number, and a look at the file by a time."""
    return str(told.timestamp() if isinstance(told, datetime) else told)


# From URLs to files.


def listed(url: str, *, where: str = "") -> list[ObjectFile]:
    """The files that a URL names, or its pattern matches. Raises: SourceError FS321; StoreError FS480, FS482, FS483."""
    store, key = located(url)
    prefix = url.removesuffix(key) if url.endswith(key) else f"{store.scheme}://"
    found: Mapping[str, Mapping[str, Any]] = {}
    if not _GLOB.search(key) or "[" in key:
        try:
            found = {key: store.info(key)}
        except FileNotFoundError:
            found = {}
    if not found and _GLOB.search(key):
        found = store.glob(key)
    files = [object_file(prefix + k, k, info, store) for k, info in found.items() if info.get("type", "file") == "file"]
    if not files:
        raise SourceError("FS321", f"no file matches {url!r}", where=where, hint="the URL: its bucket, its prefix, its pattern")
    return files


def recorded(url: str, reach: Reach | None = None) -> ObjectFile | None:
    """The file of that URL, without taking signs in it for a pattern; None if there is none. Raises: StoreError FS480, FS482,
    FS483."""
    store, key = located(url, reach)
    try:
        info = store.info(key)
    except FileNotFoundError:
        return None
    return object_file(url, key, info, store) if info.get("type", "file") == "file" else None


def all_recorded(urls: Sequence[str], reach: Reach | None = None) -> list[ObjectFile | None]:
    """`recorded` of many, many at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda url: recorded(url, reach), urls))


def with_footers(files: Iterable[File]) -> list[File]:
    """The files, those in object stores with their footers: two requests of many at a time, instead of some per file.

    Raises: SourceError FS326; StoreError FS482, FS483.
    """
    files = list(files)
    _fetch_footers([f for f in files if isinstance(f, ObjectFile) and not (f.tag and f in f.store.footers)])
    return [replace(f, tail=f.store.footers[f]) if isinstance(f, ObjectFile) else f for f in files]


def _fetch_footers(files: Sequence[ObjectFile]) -> None:
    ends = fetched([(f, f.size - min(f.size, _TAIL), f.size) for f in files])
    longer = [(f, end) for f, end in zip(files, ends, strict=True) if len(end) < min(_footer(end), f.size)]
    rest = fetched([(f, f.size - min(_footer(end), f.size), f.size - len(end)) for f, end in longer])
    found = dict(zip(files, ends, strict=True))
    found |= {f: before + end for (f, end), before in zip(longer, rest, strict=True)}
    check_all(files)  # what is remembered is of that content
    for file, end in found.items():
        if len(file.store.footers) >= _FOOTERS:
            file.store.footers.clear()
        file.store.footers[file] = end[-_footer(end) :] if _footer(end) else end


def _footer(tail: bytes) -> int:
    """How many of a Parquet file's last bytes are its footer; 0 if it is no such file."""
    if len(tail) < 8 or tail[-4:] != b"PAR1":
        return 0
    return int.from_bytes(tail[-8:-4], "little") + 8


def fetched(wanted: Sequence[tuple[ObjectFile, int, int]]) -> list[bytes]:
    """Ranges of files, many at a time. Raises: SourceError FS326 if a file is not what was listed; StoreError FS482, FS483."""
    found: dict[int, bytes] = {}
    stores: dict[int, list[int]] = {}
    for i, (file, start, end) in enumerate(wanted):
        if start < end:
            stores.setdefault(id(file.store), []).append(i)
        else:
            found[i] = b""
    for numbers in stores.values():
        ranges = [(wanted[i][0].key, wanted[i][1], wanted[i][2]) for i in numbers]
        try:
            contents = wanted[numbers[0]][0].store.fetch(ranges)
        except (FileNotFoundError, StoreError):
            check_all({wanted[i][0]: None for i in numbers})
            raise
        found |= dict(zip(numbers, contents, strict=True))
    for i, (file, start, end) in enumerate(wanted):
        if len(found[i]) != end - start:
            raise changed(file.name)
    return [found[i] for i in range(len(wanted))]


def download(file: ObjectFile, path: Path) -> None:
    """All of a file. Raises: SourceError FS326 if it is not what was listed; StoreError FS405, FS482, FS483."""
    with disk_errors(path), path.open("wb") as copy:
        for start in range(0, file.size, _AT_ONCE * _BLOCK):
            end = min(start + _AT_ONCE * _BLOCK, file.size)
            copy.writelines(fetched([(file, at, min(at + _BLOCK, end)) for at in range(start, end, _BLOCK)]))
    file.check()


def check_all(files: Iterable[File]) -> None:
    """Raises: SourceError FS326 for the first file that is not as it was listed."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for unchanged, file in [(pool.submit(file.unchanged), file) for file in files]:
            if not unchanged.result():
                raise changed(file.name)


# Reaching the store.

_stores: dict[tuple[object, ...], ObjectStore] = {}


def located(url: str, reach: Reach | None = None) -> tuple[ObjectStore, str]:
    """The store of a URL, and the key in it. Raises: StoreError FS480 if the library of its scheme is not installed."""
    scheme = url.partition("://")[0].lower()
    fsspec = _imported(scheme)
    try:
        protocol = fsspec.get_filesystem_class(scheme)
    except ValueError:
        what = f"no library is known for URLs of the scheme {scheme!r}"
        raise StoreError("FS480", what, known=["s3", "gs", "abfs", "file"]) from None
    except ImportError as error:
        package = _PACKAGES.get(scheme, "the library that fsspec names for it")
        module = getattr(error.__cause__, "name", None) or error.name or scheme
        raise missing(module, package, f"a {scheme}:// source") from None
    with reached(scheme, url):
        options = {**protocol._get_kwargs_from_urls(url), **_OPTIONS.get(scheme.replace("s3a", "s3"), {}), **(reach or {})}
        which = (scheme, hashlib.sha256(repr(options).encode()).digest(), os.getpid(), _environment())
        if which not in _stores:
            _stores[which] = ObjectStore(scheme, protocol(skip_instance_cache=True, **options))
        return _stores[which], protocol._strip_protocol(url)


def _imported(scheme: str) -> Any:
    try:
        import fsspec
    except ImportError:
        raise missing("fsspec", _PACKAGES.get(scheme, "fsspec"), f"a {scheme}:// source") from None
    return fsspec


def _environment() -> str:
    """A name for what of the environment may say who we are and where the store is; nothing can be read from it."""
    told = sorted((k, v) for k, v in os.environ.items() if k.startswith(("AWS_", "FSSPEC_", "GOOGLE_", "AZURE_")))
    return hashlib.sha256(repr(told).encode()).hexdigest()


@contextmanager
def reached(scheme: str, key: str) -> Iterator[None]:
    """What a filesystem raises, in our words. What is not there stays FileNotFoundError.

    The words of its library are not shown, and its error not chained: they may hold the endpoint's address, or who asked.
    """
    try:
        yield
    except (FeatureStoreError, FileNotFoundError):
        raise
    except Exception as error:
        raise _refused(scheme, key, error) from None


def _refused(scheme: str, key: str, error: Exception) -> StoreError:
    kinds = [kind.__name__ for kind in type(error).__mro__]
    where, name = f"{scheme}://{key.lstrip('/')}".removeprefix(f"{scheme}://{scheme}://"), type(error).__name__
    if "NoCredentialsError" in kinds or "PartialCredentialsError" in kinds or "ProfileNotFound" in kinds:
        hint = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or a profile in AWS_PROFILE"
        return StoreError("FS482", f"there are no credentials for {scheme}://", where=where, hint=hint)
    if isinstance(error, PermissionError):
        what = f"access to {scheme}:// is denied to the credentials that the environment or the machine's profile has"
        return StoreError("FS482", what, where=where, hint="the right to list the prefix and to read its objects")
    timed_out = isinstance(error, TimeoutError | ConnectionError)
    if timed_out or _UNREACHED & set(kinds) or "Endpoint" in name:
        what = f"the store of {scheme}:// does not answer ({name})"
        return StoreError("FS483", what, where=where, hint="the network, or the endpoint in AWS_ENDPOINT_URL")
    return StoreError("FS483", f"the store of {scheme}:// failed ({name})", where=where, hint="run again")


_UNREACHED = frozenset(
    {"HTTPClientError", "ConnectionError", "EndpointConnectionError", "ConnectTimeoutError", "FSTimeoutError"}
)


__all__ = ["ObjectFile", "all_recorded", "check_all", "download", "fetched", "listed", "recorded", "with_footers"]
