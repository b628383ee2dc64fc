"""The log of a Delta table, as deltalake reads it: one version, and why it cannot be had.

Decides which version an instant means, and says what is wrong in our words. What a version is made of is for `sources.delta`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from featurestore.definitions.source import is_url
from featurestore.errors import SourceError, StoreError
from featurestore.intervals import format_instant, micros_of
from featurestore.sources import objects
from featurestore.sources.extras import imported
from featurestore.sources.without_secrets import plain

_COMMIT = re.compile(r"(\d{20})\.json")
_UNKNOWN = re.compile(r"Feature '(\w+)' is not supported|features required: \[(\w+)|catalog-managed")
_PATIENCE = {"connect_timeout": "5s", "max_retries": "3", "retry_timeout": "30s"}
_REWRITE = "rewrite the table without it, by the engine that writes it, or read an export of it"
_VERSIONS = "a version that DESCRIBE HISTORY lists"


def library(module: str) -> Any:
    """deltalake, or a module of it. Raises: StoreError FS480."""
    return imported(module, extra="delta", what="a Delta source")


def loaded(path: str, version: int | None, root: Path, where: str) -> Any:
    """The table at a version, None the newest. Raises: StoreError FS480, FS481; SourceError FS367 to FS370."""
    delta = library("deltalake")
    try:
        return delta.DeltaTable(uri(path, root), version=version, storage_options=storage_options())
    except delta.exceptions.TableNotFoundError:
        if version is None:
            hint = "the folder that holds _delta_log, relative to the project"
            raise SourceError("FS367", f"there is no Delta table {path}", where=where, hint=hint) from None
        raise _no_version(path, version, loaded(path, None, root, where).version(), where) from None
    except delta.exceptions.DeltaError as error:
        newest = None if version is None else loaded(path, None, root, where).version()
        if version is not None and newest is not None and version > newest:
            raise _no_version(path, version, newest, where) from None
        raise _unreadable(path, plain(error), where) from None
    except OSError as error:
        what = f"Delta table {path} cannot be reached: {plain(error)}"
        raise StoreError("FS481", what, where=where, hint="AWS_ENDPOINT_URL, AWS_REGION and credentials") from None


def _no_version(path: str, version: int, newest: int, where: str) -> SourceError:
    why = f"the newest is {newest}" if version > newest else "its log is gone"
    return SourceError("FS369", f"Delta table {path} has no version {version}: {why}", where=where, hint=_VERSIONS)


def _unreadable(path: str, reason: str, where: str) -> SourceError:
    feature = _UNKNOWN.search(reason)
    if feature is not None:
        return unsupported(f"needs reader feature {feature[1] or feature[2] or 'catalogManaged'}", path, where)
    what = f"the log of Delta table {path} cannot be read: {reason}"
    return SourceError("FS368", what, where=where, hint="restore the files of _delta_log")


def unsupported(says: str, path: str, where: str) -> SourceError:
    return SourceError("FS370", f"Delta table {path} {says}, which is not read", where=where, hint=_REWRITE)


def version_at(path: str, at: int, root: Path, where: str) -> int:
    """The version that was the newest at an instant, by the times of the files of its log, as other readers tell it.

    Raises: SourceError FS367 to FS370; FS369 for an instant before the first version whose log is there.
    """
    options = loaded(path, None, root, where).metadata().configuration
    if options.get("delta.enableInCommitTimestamps", "false") == "true":
        what = f"Delta table {path} keeps the times of its versions inside its commits, which are not read"
        raise SourceError("FS369", what, where=where, hint="version= instead of as_of=")
    found, before = None, None
    for version, time in sorted(_commits(path, root)):
        before = time if before is None else max(time, before + 1)  # clocks may go back, versions do not
        found = version if before <= at else found
    if found is None:
        what = f"Delta table {path} has no version as early as {format_instant(at)}"
        raise SourceError("FS369", what, where=where, hint=_VERSIONS)
    return found


def _commits(path: str, root: Path) -> list[tuple[int, int]]:
    """(version, instant) of the commits whose files are there, in no order."""
    entries = _remote(path) if is_url(path) else _local(root / path / "_delta_log")
    return [(int(match[1]), time) for name, time in entries if (match := _COMMIT.fullmatch(name))]


def _local(folder: Path) -> list[tuple[str, int]]:
    return [(entry.name, entry.stat().st_mtime_ns // 1_000) for entry in os.scandir(folder)]


def _remote(path: str) -> list[tuple[str, int]]:
    store, key = objects.located(f"{path}/_delta_log/*.json")
    found = store.glob(key)
    return [(name.rpartition("/")[2], micros_of(info["LastModified"])) for name, info in found.items()]


def uri(path: str, root: Path) -> str:
    return path if is_url(path) else str(root / path)


def storage_options() -> dict[str, str]:
    """What deltalake is told of object stores beside the environment: to speak plainly where the endpoint does, and to give up
    in time."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    told = {**_PATIENCE, "aws_endpoint": endpoint} if endpoint else dict(_PATIENCE)
    return {**told, "allow_http": "true"} if endpoint.startswith("http://") else told
