"""What a source holds at one moment: its frozen parts, the rows pushed to it, their schemas, the column types.

`SourceData` checks that all files mean the same by a column before anything is read. Values are not looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.definitions import Source
from featurestore.dtypes import ColumnTypes, DType, from_arrow
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.sources.files import File, IdentityCache, stamped
from featurestore.sources.kind import Found, gone
from featurestore.sources.kinds import kind_of
from featurestore.sources.objects import ObjectFile, check_all
from featurestore.sources.parts import Part, PushedPart, pushed_file, pushed_table
from featurestore.sources.push_log import Compacted, Pushed, read_log, where_of
from featurestore.sources.push_segments import damaged


@dataclass(frozen=True)
class UpTo:
    """How much of a push log is read: of the log of that name, all up to a position."""

    log: str
    position: int


@dataclass(frozen=True)
class SourceData:
    """A source and its parts, frozen. pushed: of its push log, None if nothing was ever pushed. pins: what names all of it at
    once, beside what its parts say (the version of a table)."""

    source: Source
    parts: tuple[Part, ...]
    pushed: UpTo | None = None
    pins: tuple[Mapping[str, Any], ...] = ()

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def own(self) -> tuple[Part, ...]:
        """All parts but pushed rows: what a push log holds is named by its position."""
        return tuple(p for p in self.parts if not isinstance(p, PushedPart))

    @property
    def files(self) -> tuple[File, ...]:
        """The source's own files."""
        return tuple(file for part in self.own for file in part.files)

    @property
    def is_identified(self) -> bool:
        """Whether something tells another time if the source's own rows are the same."""
        told = [bool(part.files) or part.entry is not None for part in self.own]
        return bool(self.pins) or (bool(told) and all(told))

    @property
    def look(self) -> str:
        """One name for what is read of the source, told without reading it; "" if nothing tells it."""
        if not self.is_identified:
            return ""
        told = [[file.name, file.location, *file.version] for file in self.files]
        entries = [dict(part.entry) for part in self.own if part.entry is not None]
        pushed = None if self.pushed is None else asdict(self.pushed)
        return json.dumps([told, entries, [dict(pin) for pin in self.pins], pushed], sort_keys=True, default=str)

    def check_unchanged(self) -> None:
        """Raises: SourceError FS326 if one of the source's own parts is not as it was when it was listed."""
        check_all([file for file in self.files if isinstance(file, ObjectFile)])
        for part in self.own:
            if not any(isinstance(file, ObjectFile) for file in part.files):
                part.check()

    def state(self, identities: IdentityCache) -> list[dict[str, Any]]:
        """What S says of the source: what pins it, [{"path", "size", "sha256" (or "etag")}] of its files, what other parts say
        of themselves, then {"push_log", "log", "position"}. Empty where nothing identifies it."""
        log = [] if self.pushed is None else [{"push_log": self.source.name, **asdict(self.pushed)}]
        if not self.is_identified:
            return log
        entries = [dict(part.entry) for part in self.own if part.entry is not None]
        return [*map(dict, self.pins), *identities.identify(self.files), *entries, *log]

    def why_anew(self, state: Sequence[Mapping[str, Any]]) -> str:
        """Why the rows of an earlier state are not those of the same parts here; "" if they are."""
        was = [entry for entry in state if "push_log" not in entry]
        entries = [part.entry for part in self.own if part.entry is not None]
        return kind_of(self.source).anew(was, [*self.pins, *entries])

    def since(self, state: Sequence[Mapping[str, Any]]) -> SourceData:
        """What is here and was not in an earlier state: other files, and what was pushed since."""
        known = {entry["path"] for entry in state if "path" in entry}
        before = pushed_in(state)
        position = 0 if before is None else before.position
        here = [p for p in self.parts if p.name not in known and (p.entry is None or p.entry not in state)]
        parts = [p.after(position) if isinstance(p, PushedPart) else p for p in here]
        return replace(self, parts=tuple(p for p in parts if p.rows))

    @cached_property
    def types(self) -> Mapping[str, DType]:
        """Column -> type: as declared, else of the first part that has it. Columns of other types are absent."""
        if self.source.schema is not None:
            return self.source.schema
        types = ColumnTypes()
        for part in self.parts:
            types.refused |= part.refused
            for field in part.schema:
                try:
                    types.setdefault(field.name, from_arrow(field.type))
                except FeatureStoreError:
                    continue
        return types

    def check(self, columns: Sequence[str]) -> None:
        """All parts have `columns`, spelled the same, of one type, and naive or aware alike.

        Raises: SourceError FS322 (missing or drifted column), FS323 (names that differ in case), FS324 (naive beside aware).
        """
        for problem in self.problems(columns):
            raise problem

    def problems(self, columns: Sequence[str]) -> Iterator[SourceError]:
        """All that `check` would raise, one after the other."""
        for part in self.parts:
            checks = [partial(self._check_case, part), *(partial(self._check_column, part, c) for c in columns)]
            yield from _raised(checks)
        yield from _raised(partial(self._check_zones, column) for column in columns)

    def _check_case(self, part: Part) -> None:
        seen: dict[str, str] = {}
        for name in part.schema.names:
            twin = seen.setdefault(name.lower(), name)
            if twin != name or part.schema.names.count(name) > 1:
                raise SourceError("FS323", f"columns {twin!r} and {name!r} differ in case only, or are one", where=part.name)

    def _check_column(self, part: Part, column: str) -> None:
        if isinstance(part, PushedPart):
            if column in self.source.time_columns and column in part.schema.names:
                return
            if column not in part.schema.names and column not in (*self.source.row_key, self.source.event_timestamp):
                return
        if column not in part.schema.names:
            raise SourceError(
                "FS322", f"source {self.source.name!r}: column {column!r} is missing", where=part.name,
                known=part.schema.names, hint="rewrite the file, or leave it out of the path",
            )  # fmt: skip
        if column in part.refused:
            raise part.refused[column]
        found, wanted = _folded(part.schema.field(column).type), self.types.get(column)
        if found != wanted:
            raise SourceError(
                "FS322",
                f"source {self.source.name!r}: column {column!r} is {part.schema.field(column).type} here and {wanted} "
                + ("in schema=" if self.source.schema is not None else f"in {self.parts[0].name}"),
                where=part.name,
                hint="write the files with one schema",
            )

    def _check_zones(self, column: str) -> None:
        files = [p for p in self.parts if not isinstance(p, PushedPart) and column in p.schema.names]
        kinds = {_naive(part.schema.field(column).type): part.name for part in files}
        kinds.pop(None, None)
        if len(kinds) > 1:
            raise SourceError(
                "FS324",
                f"source {self.source.name!r}: times in {column!r} are naive in {kinds[True]} and aware in {kinds[False]}",
                hint="write them all with a zone",
            )


def _raised(checks: Iterable[Callable[[], None]]) -> Iterator[SourceError]:
    for check in checks:
        try:
            check()
        except SourceError as error:
            yield error


def _folded(arrow: pa.DataType) -> DType | None:
    try:
        return from_arrow(arrow)
    except FeatureStoreError:
        return None


def _naive(arrow: pa.DataType) -> bool | None:
    return arrow.tz is None if pa.types.is_timestamp(arrow) else None


def open_source(source: Source, root: Path, push: Path | None = None) -> SourceData:
    """Freeze what a source is made of and read the footers of its files, and its push log, which lies in the folder `push`.

    Raises: SourceError FS321 (no file), FS325 (not readable as Parquet), FS342 (pushed to, but no row_key), and what the kind
    of source says; StoreError FS440, FS441 (the push log).
    """
    pushed = None if push is None else read_log(push)
    if pushed is not None and not source.row_key:
        what = f"rows were pushed to source {source.name!r}, which has no row_key: they would be facts a second time"
        raise SourceError("FS342", what, where=source.place, hint="row_key= as it was, or remove .featurestore/push/…")
    found = kind_of(source).open(source, root)
    return _with_pushed(source, found, pushed)


def _with_pushed(source: Source, found: Found, pushed: Pushed | None) -> SourceData:
    if pushed is None:
        return SourceData(source, found.parts, None, found.pins)
    return SourceData(source, (*found.parts, *_pushed_parts(pushed)), UpTo(pushed.log, pushed.position), found.pins)


def _pushed_parts(pushed: Pushed) -> Iterator[PushedPart]:
    """The log's rows up to its position, those in Parquet first."""
    for file in pushed.files:
        yield _compacted_part(file).before(pushed.position)
    for table in pushed.tables:
        yield pushed_table(table)


def _compacted_part(file: Compacted) -> PushedPart:
    name = where_of(file.path)
    try:
        return pushed_file(stamped(file.path, name), file.first, file.last)
    except FileNotFoundError:
        raise damaged(name, "it is gone") from None


def pushed_in(state: Sequence[Mapping[str, Any]]) -> UpTo | None:
    """How much of a push log a state holds (`SourceData.state`)."""
    return next((UpTo(entry["log"], entry["position"]) for entry in state if "push_log" in entry), None)


def up_to(state: Sequence[Mapping[str, Any]], source: str, log: str, position: int) -> list[Mapping[str, Any]]:
    """The same state with more of the push log: up to a position. log: its name, if the state names none."""
    before = pushed_in(state)
    named = {"push_log": source, "log": log if before is None else before.log, "position": position}
    return [*(entry for entry in state if "push_log" not in entry), named]


def reopen_source(
    source: Source, state: Sequence[Mapping[str, Any]], root: Path, identities: IdentityCache, push: Path | None = None
) -> SourceData:
    """What a recorded source state (`SourceData.state`) names, and nothing else, as it was when it was recorded, and as much
    of the push log in the folder `push` as was read then.

    Raises: SourceError FS335 for a file or log that is gone or changed, or a source of which nothing was recorded that tells
    whether it is the same; FS325, and what the kind of source says; StoreError FS440, FS441 (the push log).
    """
    own = [entry for entry in state if "push_log" not in entry]
    if not own:
        what = f"of source {source.name!r}, as of a table in memory, nothing was recorded that tells whether it is the same now"
        raise SourceError("FS335", what)
    found = kind_of(source).reopen(source, own, root)
    reopened = SourceData(source, found.parts, None, found.pins)
    for was, now in zip_longest(own, reopened.state(identities)):
        if was != now:
            raise gone(str((was or now or {}).get("path", source.name)), "changed")
    upto = pushed_in(state)
    if upto is None:
        return reopened
    pushed = None if push is None else read_log(push, upto.position)
    if pushed is None or pushed.log != upto.log:
        raise gone(f"the push log of {source.name}", "gone" if pushed is None else "another one")
    return _with_pushed(source, found, pushed)
