"""The folder a backfill writes: one Parquet file per instant, and a manifest that says of each what it was made from.

A file is written aside. Once its record stands in the manifest, it takes its name, and replaces what had it. A run that is
killed leaves old files, new ones, and perhaps records of files that did not get their names; those do not match, and are made
again. One run at a time holds the folder.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from featurestore import atomic
from featurestore.errors import StoreFormat, StoreLocked, UsageError
from featurestore.failpoints import reach
from featurestore.intervals import format_instant, parse_formatted
from featurestore.retrieval.output import dumps
from featurestore.sources import IdentityCache
from featurestore.sources.files import stamped

FORMAT = 1
MANIFEST = "_backfill.json"
"""With an underscore in front, as readers of partitioned tables expect of what is no data."""
LOCK = ".backfill.lock"


@dataclass(frozen=True)
class Record:
    """One instant's file: where it lies below the folder, what is in it, and what it was made from (state: the name of a source
    state of the manifest)."""

    file: str
    rows: int
    size: int
    sha256: str
    fingerprint: str
    state: str


@dataclass
class Folder:
    """What the manifest says: the view, what all files have in common (as plain data), source states by name, records by
    instant. A new one knows nothing: `opened` reads the manifest."""

    root: Path
    view: str
    layout: Mapping[str, Any]
    states: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    records: dict[int, Record] = field(default_factory=dict)

    def opened(self) -> Self:
        """The folder as its manifest says it is now.

        Raises: UsageError FS387 for a folder of anything else; StoreFormat FS388 for a manifest that cannot be read.
        """
        folder, root = replace(self, states={}, records={}), self.root
        if root.exists() and not root.is_dir():
            raise UsageError("FS387", f"--output {str(root)!r} is no folder", hint="a folder, which is made if it is not there")
        document = _read(root / MANIFEST)
        if document is None:
            folder._check_empty()
            return folder
        try:
            folder._check_same(document)
            folder.remember(document)
            folder.states = dict(document["states"])
            folder.records = {parse_formatted(r.pop("as_of")): Record(**r) for r in document["partitions"]}
        except (KeyError, TypeError, AttributeError) as error:
            what = "the manifest is not what a backfill writes"
            raise StoreFormat("FS388", what, where=str(root / MANIFEST), hint="another folder") from error
        return folder

    def _check_empty(self) -> None:
        mine = {LOCK, MANIFEST}
        foreign = sorted(p.name for p in self.root.iterdir() if not _is_leftover(p, mine)) if self.root.is_dir() else []
        if foreign:
            what = f"{str(self.root)!r} holds files that no backfill wrote: {foreign[0]}"
            raise UsageError("FS387", what, hint="an empty folder, or one that is not there yet")

    def _check_same(self, document: Mapping[str, Any]) -> None:
        if document["view"] != self.view:
            what = f"{str(self.root)!r} holds the values of view {document['view']!r}, not of {self.view!r}"
            raise UsageError("FS387", what, hint="a folder for each view")
        for name, value in self.layout.items():
            if document["layout"].get(name) != value:
                was = document["layout"].get(name)
                what = f"{str(self.root)!r} was written with {name} {_shown(was)}, not {_shown(value)}"
                raise UsageError("FS387", what, hint="the same, or another folder")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, and sweep what a run that died has left. Raises: StoreLocked FS389."""
        with atomic.disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                what = f"another backfill writes to {str(self.root)!r}"
                raise StoreLocked("FS389", what, hint="wait for it, or take another folder") from None
            for left in self.root.rglob(".*.partial"):
                if atomic.gone(left.name.split(".")[-2], left):
                    left.unlink(missing_ok=True)
            yield
        finally:
            os.close(lock)

    def aside(self, file: str) -> Path:
        """Where a file is written before it takes its name."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return atomic.aside(path)

    def as_written(self, instants: Iterable[int], identities: IdentityCache) -> set[int]:
        """Those of some instants whose file is as its record says."""
        records = {at: self.records[at] for at in instants if at in self.records}
        stamps = {at: stamped(self.root / r.file, r.file) for at, r in records.items() if self._stands(r)}
        found = zip(stamps, identities.identify(stamps.values()), strict=True)
        return {at for at, told in found if told["sha256"] == records[at].sha256}

    def _stands(self, record: Record) -> bool:
        """A file of the record's name and size is there; whether its bytes are the same is told by its hash."""
        try:
            return (self.root / record.file).stat().st_size == record.size
        except OSError:
            return False

    def told(self, file: str) -> str:
        """Where a reader finds what is written to a file."""
        return file

    def keep(self, made: Mapping[int, Record]) -> None:
        """Record files that were written aside, then give them their names."""
        if not made:
            return
        self.records |= made
        for record in made.values():
            atomic.sync(self.aside(record.file))
        reach("backfill.written")
        self.save()
        reach("backfill.recorded")
        for record in made.values():
            atomic.commit(self.aside(record.file), self.root / record.file)
            reach("backfill.renamed")

    def besides(self) -> dict[str, Any]:
        """What else the manifest says."""
        return {}

    def remember(self, document: Mapping[str, Any]) -> None:
        """Read what else a manifest says."""

    def now_of(self, instants: Sequence[int], state: str) -> None:
        """What some instants' files hold is what they would hold if they were made from another state."""
        for at in instants:
            self.records[at] = replace(self.records[at], state=state)

    def save(self) -> None:
        used = {record.state for record in self.records.values()}
        document = {
            "format": FORMAT,
            "kind": "backfill",
            "view": self.view,
            "layout": dict(self.layout),
            "states": {name: state for name, state in self.states.items() if name in used},
            "partitions": [{"as_of": format_instant(at), **asdict(r)} for at, r in sorted(self.records.items())],
            **self.besides(),
        }
        atomic.write_text(self.root / MANIFEST, dumps(document))


def _is_leftover(path: Path, mine: set[str]) -> bool:
    """What a run leaves that was killed before its first record: its lock, and folders with nothing but files aside."""
    if path.name in mine or path.name.endswith(".partial"):
        return True
    return path.is_dir() and all(p.is_dir() or p.name.endswith(".partial") for p in path.rglob("*"))


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, list) else str(value)


def _read(path: Path) -> Mapping[str, Any] | None:
    """The manifest, None without one. Raises: StoreFormat FS388."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError) as error:
        raise StoreFormat("FS388", "the manifest cannot be read as JSON", where=str(path), hint="another folder") from error
    if not isinstance(document, dict) or document.get("kind") != "backfill" or not isinstance(document.get("format"), int):
        raise StoreFormat("FS388", "this is no manifest of a backfill", where=str(path), hint="another folder")
    if document["format"] > FORMAT:
        what = f"the manifest has format {document['format']}, this featurestore reads up to format {FORMAT}"
        raise StoreFormat("FS388", what, where=str(path), hint="a newer featurestore")
    return document
