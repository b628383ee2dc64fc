"""Hold the rows of sources against what is expected of them: what stops, what is set aside, what is only said.

A row that goes to quarantine is left out wherever rows are read, by the statements themselves; here such rows are counted, and
kept for those who mend them. Judged is all of a source as it is now, whatever a build or a run would use of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.compiler.facts import FILE, ROW
from featurestore.definitions.expectations import ACTIONS, FAIL, QUARANTINE, WARN, Expectation
from featurestore.dtypes import DType
from featurestore.engines.duckdb.session import Session, Settings
from featurestore.errors import SourceError
from featurestore.intervals import Clock, format_instant
from featurestore.plan.nodes import ReadSource, TypedColumn
from featurestore.progress import Progress, Watcher
from featurestore.sources import SourceData, quarantine
from featurestore.sources.quarantine import Aside
from featurestore.typed_values import brief

EXAMPLES = 3
"""So many of the rows that break an expectation are named."""


@dataclass(frozen=True)
class Where:
    """One row that breaks an expectation. row: counted from 0."""

    file: str
    row: int
    value: Any

    def __str__(self) -> str:
        return f"{self.file} row {self.row}: {'NULL' if self.value is None else brief(self.value)}"


@dataclass(frozen=True)
class Outcome:
    """What an expectation found. rows: those that break it; of `fresh` 1 if the newest is too old. newest: when that one became
    visible, in microseconds; None without any."""

    expectation: Expectation
    rows: int
    examples: tuple[Where, ...] = ()
    newest: int | None = None

    def to_dict(self) -> dict[str, Any]:
        one = self.expectation
        told: dict[str, Any] = {"expectation": one.reason, "action": one.action, "rows": self.rows}
        if one.column is None:
            return told | {"newest": None if self.newest is None else format_instant(self.newest)}
        return told | {"examples": [{"file": e.file, "row": e.row, "value": e.value} for e in self.examples]}


@dataclass(frozen=True)
class Judgement:
    """A source, judged. rows: all of it. file: where the rows in quarantine are kept, if any are."""

    data: SourceData
    rows: int
    outcomes: tuple[Outcome, ...]
    file: Path | None = None

    @property
    def quarantined(self) -> int:
        return sum(o.rows for o in self.outcomes if o.expectation.action == QUARANTINE)

    @property
    def errors(self) -> list[SourceError]:
        """FS328 for each expectation that says fail and does not hold."""
        return [self._error(o) for o in self.outcomes if o.rows and o.expectation.action == FAIL]

    def _error(self, outcome: Outcome) -> SourceError:
        source, one = self.data.source, outcome.expectation
        if one.column is None:
            hint = "newer files, or a greater age"
            return SourceError("FS328", self._stale(outcome), where=f"{one.location}, {source.kind} {source.name!r}", hint=hint)
        rest = outcome.rows - len(outcome.examples)
        where = ", ".join(map(str, outcome.examples)) + (f" and {rest:,} more" if rest else "")
        return SourceError(
            "FS328", f"{outcome.rows:,} of {self.rows:,} rows of source {source.name!r} break: {one.reason}", where=where,
            hint='mend these rows (counted from 0), or action="quarantine" if they may be left out',
        )  # fmt: skip

    def _stale(self, outcome: Outcome) -> str:
        age = outcome.expectation.max_age
        newest = "it has none" if outcome.newest is None else f"the newest is of {format_instant(outcome.newest)}"
        return f"source {self.data.source.name!r} is not fresh: no row became visible within {age}, {newest}"

    @property
    def warnings(self) -> list[str]:
        """What is to be said: expectations that say warn and do not hold, and rows in quarantine."""
        name = self.data.source.name
        said = [
            self._stale(o) if o.expectation.column is None
            else f"source {name}: {o.rows:,} of {self.rows:,} rows break: {o.expectation.reason}"
            for o in self.outcomes if o.rows and o.expectation.action == WARN
        ]  # fmt: skip
        if self.quarantined:
            kept = "" if self.file is None else f", kept in {self.shown}"
            said.append(f"source {name}: {self.quarantined:,} of {self.rows:,} rows are in quarantine{kept}")
        return said

    @property
    def shown(self) -> str | None:
        """The file, as people find it from the project's folder."""
        return None if self.file is None else "/".join(self.file.parts[-3:])

    def to_dict(self) -> dict[str, Any]:
        return {
            "expectations": [o.to_dict() for o in self.outcomes],
            "quarantine": {"rows": self.quarantined, "file": self.shown},
        }


@dataclass(frozen=True)
class Judge:
    """Who judges: by what clock, with what engine settings, and in which folder rows in quarantine are kept (None: nowhere)."""

    settings: Settings
    clock: Clock
    folder: Path | None

    def check(
        self, sources: Iterable[SourceData], watch: Watcher | None = None, open_session: Callable[[], Any] | None = None
    ) -> list[str]:
        """What is to be said of the rows of sources. open_session: gives the session to ask, as a context manager, if not one
        of DuckDB. Raises: SourceError FS328, FS322 to FS325; DefinitionError."""
        said = list[str]()
        for data in sources:
            if data.source.expectations:
                if watch is not None:
                    watch(Progress(f"expectations of source {data.source.name}"))
                with Session(self.settings) if open_session is None else open_session() as session:
                    judgement = self.judge(session, data)
                for error in judgement.errors:
                    raise error
                said += judgement.warnings
            else:
                self.clear(data)
        return said

    def clear(self, data: SourceData) -> None:
        """Nothing is expected of a source: what was kept aside for it is of the past."""
        if self.folder is not None:
            quarantine.remove(self.folder / f"{data.source.name}.parquet")

    def judge(self, session: Session, data: SourceData, *, examples: bool = False) -> Judgement:
        """Judge all rows of a source, and keep those in quarantine. examples: name some of the rows that break any expectation;
        without, only of those that fail. Raises: SourceError FS322 to FS325; DefinitionError."""
        data.source.check_expectations(data.types)
        named = ACTIONS if examples else (FAIL,)
        return _Judging(session, data, self.clock.now(), named).judged(self.folder)


class _Judging:
    def __init__(self, session: Session, data: SourceData, now: int, named: Sequence[str]) -> None:
        self.session, self.data, self.now, self.named = session, data, now, named
        self.source = data.source
        self.expected = [e for e in self.source.expectations if e.column is not None]
        self.fresh = [e for e in self.source.expectations if e.column is None]
        self.columns = tuple(dict.fromkeys((*self.source.time_columns, *(e.column for e in self.expected if e.column))))
        self.types: Mapping[str, DType] = {c: data.types[c] for c in self.columns}
        typed = tuple(TypedColumn(c, dtype) for c, dtype in self.types.items())
        self.read = ReadSource(self.source, typed, data.pushed is not None)
        self.numbered = False

    def judged(self, folder: Path | None) -> Judgement:
        self.session.bind_source(self.data, self.columns, self.types)
        statement = self.session.expectations.judged(self.read, self.expected)
        counts = self.session.table(statement, {"now": self.now}).to_pylist()[0]
        broken = [counts[f"broken_{i}"] for i in range(len(self.expected))]
        outcomes = [
            Outcome(e, n, tuple(self._examples(i)) if n and e.action in self.named else ())
            for i, (e, n) in enumerate(zip(self.expected, broken, strict=True))
        ]
        outcomes += [self._fresh(e, counts["newest"]) for e in self.fresh]
        aside = sum(o.rows for o in outcomes if o.expectation.action == QUARANTINE)
        return Judgement(self.data, counts["rows"], tuple(outcomes), self._kept(folder, aside))

    def _fresh(self, expectation: Expectation, newest: int | None) -> Outcome:
        stale = newest is None or self.now - newest > expectation.max_age.micros
        return Outcome(expectation, int(stale), (), newest)

    def _examples(self, number: int) -> Iterator[Where]:
        for row in self._rows(self.session.expectations.first_broken(self.read, self.expected, number, EXAMPLES)).to_pylist():
            yield Where(self.data.parts[row[FILE]].name, row[ROW], row["value"])

    def _rows(self, statement: str) -> pa.Table:
        """What a statement over numbered rows says."""
        if not self.numbered:
            self.session.bind_numbered(self.data, self.columns, self.types)
            self.numbered = True
        return self.session.table(statement)

    def _kept(self, folder: Path | None, aside: int) -> Path | None:
        """The file of the rows in quarantine, written if it is not there already; gone where there are none."""
        if folder is None:
            return None
        path = folder / f"{self.source.name}.parquet"
        if not aside:
            quarantine.remove(path)
            return None
        state = quarantine.state_of(self.data, [e.reason for e in self.source.quarantine])
        if not quarantine.is_of(path, state):
            quarantine.write(path, self._aside(), state)
        return path

    def _aside(self) -> list[Aside]:
        found = self._rows(self.session.expectations.set_aside(self.read, self.expected, quarantine.MOST)).combine_chunks()
        numbers, rows, reasons = (found[c].combine_chunks() for c in (FILE, ROW, "reason"))
        runs = pc.run_end_encode(numbers)  # ordered by file
        aside, start = [], 0
        for number, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            part = self.data.parts[number]
            aside.append(Aside(part, rows.slice(start, end - start), reasons.slice(start, end - start)))
            start = end
        return aside


__all__ = ["EXAMPLES", "Judge", "Judgement", "Outcome", "Where"]
