"""Build a training set: the spine's rows, in order, with what could have been known at each row's instant.

Each part of the plan is one statement, run one after the other because several as-of joins in one query use far more
memory; their columns are laid side by side with the spine's and written as they come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore import plan as planning
from featurestore.atomic import disk_errors
from featurestore.compiler import duckdb as sql
from featurestore.dtypes import TIMESTAMP, DType
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.duckdb.checks import SourceCounts, check_left_out, check_static, greatest_known, pushed_to, spares
from featurestore.engines.duckdb.window_choice import Choice, choose, described
from featurestore.engines.exact import MOMENTS
from featurestore.errors import DataError, UsageError
from featurestore.intervals import FOREVER, format_instant
from featurestore.plan.needed import EVERYTHING, Needed, needed, union
from featurestore.plan.nodes import (
    LabelOf,
    Output,
    Part,
    PartOf,
    PlanKey,
    ReadSource,
    StaticLookup,
    TrainingSet,
    Window,
    walk,
)
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundFacts, BoundLabel, BoundService
from featurestore.retrieval.content import ContentHash
from featurestore.retrieval.cuts import Cuts
from featurestore.retrieval.labels import Maturity, kept
from featurestore.retrieval.on_demand import OnDemandColumns
from featurestore.retrieval.partitioned import Asked, Partitioned, identity, work_folder
from featurestore.retrieval.partitions import how_many
from featurestore.retrieval.spine import (
    ROWS_AT_ONCE,
    Spine,
    check_features,
    check_label,
    instants,
    key_column,
    request_column,
)
from featurestore.retrieval.splits import COLUMN as SPLIT_COLUMN
from featurestore.retrieval.splits import Parts, Split, check_name
from featurestore.retrieval.workers import Workers
from featurestore.sources import SourceData

log = logging.getLogger(__name__)

INCLUDES = ("status", "event_timestamp")
STATUSES = ("present", "null", "expired", "not_found")
_STATUS_TYPE = pa.string()

Observer = Callable[[pa.Table, pa.Array | None, Mapping[str, str], Mapping[str, pa.ChunkedArray]], None]


@dataclass(frozen=True)
class Request:
    """What is asked of a build. known_before: facts with k < it only. serving_lag: microseconds by which facts are
    known later than they are. include: of INCLUDES. label: the spine's label column. files_before: of the rows of files (not of
    those pushed) facts with k < it only. split: into which parts the rows go; one column more says it."""

    as_of: str = "as_of"
    timezone: str = "UTC"
    as_of_format: str | None = None
    known_before: int | None = None
    serving_lag: int = 0
    include: tuple[str, ...] = ()
    label: str | None = None
    files_before: int | None = None
    split: Split | None = None

    def __post_init__(self) -> None:
        unknown = [i for i in self.include if i not in INCLUDES]
        if unknown:
            raise UsageError("FS102", f"unknown include {unknown[0]!r}", known=INCLUDES)


@dataclass
class Report:
    """What a build did, in numbers. features: {column: {status: rows}}; left_out: {view: {reason: rows}}; label:
    {"column": its name, "present": rows with a value, "null": rows without}; labels: {label view: what `LabelCounts`
    holds}; windows: {view instance: the plans that served its windows, and why}; without_value: {on-demand feature: rows
    in which an operation that was reached had operands and no value}; split: what was asked, and rows by part; at_once: the
    one instant at which all rows ask, if they were answered by plans made for that."""

    rows: int = 0
    at_once: str | None = None
    features: dict[str, dict[str, int]] = field(default_factory=dict)
    views: dict[str, dict[str, int]] = field(default_factory=dict)
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    source_rows: dict[str, int] = field(default_factory=dict)
    label: dict[str, Any] | None = None
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    windows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    without_value: dict[str, int] = field(default_factory=dict)
    split: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    content_hash: str = ""

    def count(self, service: BoundService, counted: Mapping[str, Mapping[str, int]]) -> None:
        """Take the counts of each column, {status: rows}, of those that are returned."""
        returned = {i.name: [name for name, _, _ in i.features] for i in service.instances}
        returned |= {o.name: [name for name, _, _ in o.features] for o in service.on_demand}
        self.views = {view: summed([counted[name] for name in names]) for view, names in returned.items() if names}
        self.features = {name: dict(counted[name]) for name in service.feature_types}

    def check(self, session: Session, bound: BoundFacts, data: SourceData) -> SourceCounts:
        """Count what a view leaves out of its source, and what is to be said of it. Raises: SourceError FS327."""
        counts = check_left_out(session, bound, data)
        self.left_out[bound.name] = counts.left_out
        self.source_rows[data.source.name] = counts.rows
        self.warnings += [w for w in counts.warnings if w not in self.warnings]
        return counts


class Build:
    """One build: `schema`, then `batches()` once, then `report`. Use as a context manager.

    replan: another question in place of the service's, for those who look for why a value is wrong (`plan.whatif`), and have
    had the sources checked before. session: one to work in, and to leave open. observe: called with each batch before it is
    given: its rows, their instants, which statement each feature comes from, and per statement how facts were found.
    Raises on entry: SpineError, SourceError, DataError for whatever is wrong with spine or sources, before any work.
    """

    engine = "duckdb"
    versions: Mapping[str, str] = {}
    """Of what else the values come from, beside this package and the libraries it always has."""

    def __init__(
        self,
        service: BoundService,
        spine: Spine,
        sources: Mapping[str, SourceData],
        settings: Settings,
        request: Request,
        watch: Watcher | None = None,
        replan: Callable[[TrainingSet], TrainingSet] | None = None,
        session: Session | None = None,
        observe: Observer | None = None,
    ) -> None:
        self.service, self.spine, self.request = service, spine, request
        plan = planning.training_set(service)
        plan = plan if replan is None else replan(plan)
        self._checks = replan is None
        self.plan = planning.with_pushed(plan, pushed_to(sources), request.files_before)
        self.report = Report(rows=spine.rows)
        self._sources, self._settings, self._given = sources, settings, session
        self._watch, self._observe = watch or (lambda _: None), observe
        self._keys: dict[tuple[str, str], pa.Array] = {}
        self._known: dict[str, int | None] = {}
        self._whole: dict[str, SourceData] = {}  # by view, where no row is left out
        self._spared: dict[tuple[str, Needed], bool] = {}
        self._request: dict[str, pa.Array] = {}
        self._stack = ExitStack()
        self._added = added_fields(service, self.plan, request.include)
        check_features(spine.schema, [f.name for f in self._added])
        if request.label is not None:
            taken = [*service.spine_keys, *service.request, request.as_of]
            check_label(spine.schema, request.label, taken, service.label_types)
            self.report.label = {"column": request.label, "present": 0, "null": 0}
        if request.split is not None:
            check_name([*spine.schema.names, *(f.name for f in self._added)])
            self._added.append(pa.field(SPLIT_COLUMN, pa.string()))
        self.schema = pa.schema([*spine.schema, *self._added])

    def __enter__(self) -> Build:
        try:
            self._at = instants(
                self.spine, self.request.as_of, timezone=self.request.timezone, as_of_format=self.request.as_of_format
            )
            self._ask_at_once()
            if self.request.split is not None:
                self._split_rows(self.request.split)
            for part in self.plan.answers:
                self._asked(part.part)
            for name, dtype in self.service.request.items():
                self._request[name] = request_column(self.spine, name, dtype, timezone=self.request.timezone)
            self._session = self._given or self._stack.enter_context(Session(self._settings))
            if self._checks:
                self._check_sources()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _ask_at_once(self) -> None:
        """Where all rows ask at one instant, the plan says so."""
        if self._settings.snapshot and self._ends and self._ends["min"] == self._ends["max"]:
            self.plan = planning.asked_at_once(self.plan)
            self.report.at_once = format_instant(self._ends["min"])

    @cached_property
    def _ends(self) -> dict[str, int]:
        """The first and the last instant asked; empty without rows."""
        ends = pc.min_max(self._at)
        return {end: ends[end].as_py() for end in ("min", "max")} if self.spine.rows else {}

    def _split_rows(self, split: Split) -> None:
        parts = Parts(split, self.service, self.spine, self._at)
        self._split = parts.column
        self.report.split = parts.to_manifest()
        self.report.warnings += parts.warnings

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)  # the work folder stays where the build was stopped from outside

    def batches(self) -> Iterator[pa.Table]:
        """The training set, ROWS_AT_ONCE rows at a time; at least one table, which may be empty."""
        content = ContentHash(self.schema)
        readers = self._readers() if self.partitions == 1 else self._partitioned_readers()
        on_demand = self._on_demand()
        done = 0
        for rows in self.spine.batches():
            columns: dict[str, pa.ChunkedArray] = {}
            for reader in readers:
                columns |= reader.take(rows.num_rows)
            at, request = self._at.slice(done, rows.num_rows), self._request_from(done, rows.num_rows)
            for made in on_demand:
                columns |= made.of(rows.num_rows, columns, request, at)
            if self.request.split is not None:
                columns[SPLIT_COLUMN] = self._split.slice(done, rows.num_rows)
            added = [columns[f.name].cast(f.type) for f in self._added]
            table = pa.Table.from_arrays([*rows.columns, *added], schema=self.schema)
            content.update(table)
            if self._observe is not None:
                self._observe(table, at, *_found(readers))
            self._count_label(rows)
            done += rows.num_rows
            self._watch(Progress("joining", done, self.spine.rows))
            yield table
        self._check_unchanged()
        self._count(readers, on_demand)
        self.report.content_hash = content.hexdigest()

    def _count_label(self, rows: pa.Table) -> None:
        label = self.report.label
        if label is not None:
            nulls = rows[label["column"]].null_count
            label["null"] += nulls
            label["present"] += rows.num_rows - nulls

    def _readers(self) -> list[PartReader]:
        """All parts but the last are run to the end and kept in temporary files; the last streams."""
        readers = []
        for number, part in enumerate(self.plan.answers, 1):
            self._watch(Progress(self._stage(number)))
            served = self._served(part)
            for position, one in enumerate(served, 1):
                stream = self._stream(part.part, one)
                if number < len(self.plan.answers) or position < len(served):
                    stream = _spooled(stream, self._session.folder / f"part_{number}_{position}.arrow", self._stack)
                readers.append(self._reader(part, one, stream))
        return readers

    def _partitioned_readers(self) -> list[PartReader]:
        """All parts are answered partition by partition, each kept in a file, and laid together again as they are read."""
        number, parts = self.partitions, [part.part for part in self.plan.answers]
        key = identity(self.service, self.plan, self.spine, self._sources, self.request, number)
        work = self._stack.enter_context(work_folder(self._settings, self._session, key))
        cuts = Cuts(self._session, work, number, self._sources, [(p, self._needed(p)) for p in parts], self._watch)
        workers = self._stack.enter_context(Workers(self._session, self._settings))
        partitioned = Partitioned(workers, work, cuts, number, self.spine.rows, self._watch)
        readers = []
        for position, part in enumerate(self.plan.answers, 1):
            self._watch(Progress(self._stage(position)))
            for served in self._served(part):
                bind, spine = partial(self._bind, part.part), partial(self._asked, part.part)
                parameters = {**self._parameters(part.part), **served.parameters}
                asked = Asked(part, self._stage(position), served.sql, parameters, bind, spine)
                readers.append(self._reader(part, served, partitioned.answer(asked)))
        cuts.drop()
        return readers

    def _stage(self, number: int) -> str:
        return f"view {self.plan.answers[number - 1].instance} ({number} of {len(self.plan.answers)})"

    @cached_property
    def partitions(self) -> int:
        """Into how many parts the keys are cut; 1: nothing is cut."""
        return how_many([p.part for p in self.plan.answers], self._sources, self.spine.rows, self._settings)

    def _stream(self, part: Part, served: Served) -> pa.RecordBatchReader:
        """What a statement gives. Until it is read to its end the session can do nothing else."""
        self._bind(part)
        parameters = {**self._parameters(part), **served.parameters}
        return self._session.reader(served.sql, parameters, ROWS_AT_ONCE, as_written=isinstance(part, Window))

    def _reader(self, part: PartOf | LabelOf, served: Served, stream: pa.RecordBatchReader) -> PartReader:
        if isinstance(part, PartOf):
            return PartReader(part, served, stream, self.request)
        maturity = Maturity(part, self.request.known_before, self._known[part.view])
        return LabelReader(part, served, stream, self.request, self._at, maturity)

    def _served(self, part: PartOf | LabelOf) -> list[Served]:
        """The statements that serve a part: for windows, chosen from the data."""
        if not isinstance(part.part, Window):
            if isinstance(part.part, StaticLookup):
                self._bind(part.part)
                check_static(self._session, part.part)
                return [Served(part.part.outputs, sql.static(part.part))]
            return [Served(part.part.outputs, sql.latest(part.part))]
        choices = self.choices(part)
        self.report.windows.setdefault(part.instance, []).extend(described(c) for c in choices)
        return [Served(c.outputs, c.sql, c.parameters, c.listed) for c in choices]

    @property
    def window_parts(self) -> list[PartOf | LabelOf]:
        return [part for part in self.plan.answers if isinstance(part.part, Window)]

    def choices(self, part: PartOf | LabelOf) -> list[Choice]:
        """The plans that serve a part's windows, chosen from the data."""
        assert isinstance(part.part, Window)
        self._bind(part.part)
        parameters = self._parameters(part.part)
        whole = self._whole.get(part.view) if self._needed(part.part) == EVERYTHING else None
        return choose(self._session, part.part, parameters, self.spine.rows, whole=whole, wanted=self._settings.window_plan)

    def _on_demand(self) -> list[OnDemandColumns]:
        """What makes the on-demand features, in a session of their own: the other streams the last part."""
        if not self.plan.on_demand:
            return []
        session = self._stack.enter_context(Session(self._settings))
        return [OnDemandColumns(node, session, self.request.include) for node in self.plan.on_demand]

    def _request_from(self, start: int, rows: int) -> Callable[[str], pa.Array]:
        return lambda name: self._request[name].slice(start, rows)

    def _bind(self, part: Part) -> None:
        for source, columns in sources_of(part).items():
            data, types, wanted = self._sources[source], {c.name: c.dtype for c in columns}, self._needed(part)
            if any(p.narrows for p in data.parts):
                types, wanted = self._of_all_parts(source)
            self._session.bind_source(data, list(types), types, needed=wanted)
        self._session.bind("spine", self._asked(part))

    def _of_all_parts(self, source: str) -> tuple[dict[str, DType], Needed]:
        """The columns and rows of a source that any part reads: where reading is dear, it is done once."""
        read = [(part.part, columns) for part in self.plan.answers if (columns := sources_of(part.part).get(source))]
        types = {c.name: c.dtype for _, columns in read for c in columns}
        return types, union(self._needed(part) for part, _ in read)

    def _needed(self, part: Part) -> Needed:
        """The rows of its source that a part can need; all of them if nothing need be read less for it."""
        source = next(iter(sources_of(part)))
        first, last = (self._ends[end] + part.spine.ahead if self._ends else None for end in ("min", "max"))
        wanted = needed(part, first, last, self.request.known_before, self.request.serving_lag)
        if (source, wanted) not in self._spared:
            self._spared[source, wanted] = wanted != EVERYTHING and spares(wanted, self._sources[source])
        return wanted if self._spared[source, wanted] else EVERYTHING

    def _asked(self, part: Part) -> pa.Table:
        """The relation `spine` of a part: row_id, keys of the part's types, asked_at."""
        at = pc.add_checked(self._at, part.spine.ahead) if part.spine.ahead else self._at
        columns = {"row_id": pa.arange(0, self.spine.rows), "asked_at": at}
        for key in part.spine.keys:
            columns[f"key_{key.name}"] = self._key(key)
        if not part.spine.keys:
            columns["key_all"] = pa.repeat(pa.scalar(0, pa.int32()), self.spine.rows)
        return pa.table(columns)

    def _key(self, key: PlanKey) -> pa.Array:
        """A key column of the spine, read once for all parts that compare it in one type."""
        which = (key.spine_column, key.dtype.name)
        if which not in self._keys:
            self._keys[which] = key_column(self.spine, key.spine_column, key.dtype)
        return self._keys[which]

    def _parameters(self, part: Part) -> dict[str, object]:
        parameters = run_parameters(self.request.known_before, self.request.serving_lag, exact=is_exact(part))
        return {**parameters, "at": self._ends["min"] + part.spine.ahead} if part.spine.at_once else parameters

    def _check_sources(self) -> None:
        self._watch(Progress("checking sources"))
        for bound in (i.bound for i in (*self.service.instances, *self.service.labels)):
            if bound.name in self.report.left_out:
                continue
            data = self._sources[bound.view.source.name]
            counts = self.report.check(self._session, bound, data)
            if isinstance(bound, BoundLabel):
                self._known[bound.name] = greatest_known(self._session, bound, data)
            if counts.whole:
                self._whole[bound.name] = data

    def _count(self, readers: Sequence[PartReader], on_demand: Sequence[OnDemandColumns]) -> None:
        """Per feature and view returned; what is hidden is nobody's cell."""
        counted = {name: counts for reader in readers for name, counts in reader.counts.items()}
        for made in on_demand:
            counted |= made.counts
            self.report.without_value |= made.without_value
        self.report.count(self.service, counted)
        self.report.labels = {r.part.instance: r.maturity.counts.to_dict() for r in readers if isinstance(r, LabelReader)}

    def _check_unchanged(self) -> None:
        for data in self._sources.values():
            data.check_unchanged()


def _found(readers: Sequence[PartReader]) -> tuple[dict[str, str], dict[str, pa.ChunkedArray]]:
    """Of the batch that was read last: feature -> statement, and statement -> how facts were found."""
    matches = {str(number): reader.match for number, reader in enumerate(readers) if reader.match is not None}
    return {name: number for number in matches for name in readers[int(number)].counts}, matches


def summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    statuses = dict.fromkeys(status for one in counts for status in one)
    return {status: sum(one.get(status, 0) for one in counts) for status in statuses}


def run_parameters(known_before: int | None, serving_lag: int, *, exact: bool) -> dict[str, object]:
    """$known_before and $known_shift of a run. Exact matches compare with <=, the lag's bound stays strict: one more µs."""
    shift = serving_lag + (1 if exact and serving_lag else 0)
    return {"known_before": FOREVER if known_before is None else known_before, "known_shift": shift}


def is_exact(part: Part) -> bool:
    return not isinstance(part, StaticLookup) and part.facts.exact


def sources_of(part: Part) -> dict[str, Sequence[Any]]:
    return {node.source.name: node.columns for node in walk(part) if isinstance(node, ReadSource)}


def added_fields(service: BoundService, plan: TrainingSet, include: Sequence[str]) -> list[pa.Field]:
    types = {**service.feature_types, **service.label_types}
    fields = [pa.field(name, dtype.arrow) for name, dtype in types.items()]
    if "status" in include:
        fields += [pa.field(f"{name}__status", _STATUS_TYPE) for name in types]
    if "event_timestamp" in include:
        fields += [pa.field(f"{name}__event_timestamp", TIMESTAMP.arrow) for name in types]
    return fields


def _spooled(stream: pa.RecordBatchReader, path: Path, stack: ExitStack) -> pa.RecordBatchReader:
    """The stream, run to its end into a temporary file and read back from there."""
    with disk_errors(path), pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, stream.schema) as writer:
        for batch in stream:
            writer.write_batch(batch)
    return stack.enter_context(pa.ipc.open_stream(stack.enter_context(pa.memory_map(str(path)))))


@dataclass(frozen=True)
class Served:
    """A statement, the outputs it gives, the parameters of its own, and the outputs that come as lists of numbers."""

    outputs: tuple[Output, ...]
    sql: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()


class PartReader:
    """The columns of one statement, in spine order, taken as many rows at a time as the spine gives."""

    def __init__(
        self, part: PartOf | LabelOf, served: Served, stream: pa.RecordBatchReader, request: Request, first: int = 0
    ) -> None:
        """first: the number of the first row."""
        self.part, self._served, self._stream, self._request = part, served, stream, request
        self.counts = {output.name: dict.fromkeys(STATUSES, 0) for output in served.outputs}
        self.match: pa.ChunkedArray | None = None
        """Of the rows taken last, how the newest fact was found; None where windows always have an answer."""
        self._held: list[pa.RecordBatch] = []
        self._rows = 0
        self._next = self._first = first

    def take(self, rows: int) -> dict[str, pa.ChunkedArray]:
        """The next `rows` rows: the value of each output, and what the request includes of it. `counts` grows."""
        while self._rows < rows:
            batch = next(self._stream, None)
            if batch is None:
                raise DataError("FS309", f"the engine returned too few rows for {self.part.instance}")
            self._held.append(batch)
            self._rows += batch.num_rows
        table = pa.Table.from_batches(self._held, schema=self._stream.schema)
        mine, rest = table.slice(0, rows), table.slice(rows)
        self._held, self._rows = rest.to_batches(), rest.num_rows
        self._check_order(mine, rows)
        return self._finished(mine.combine_chunks())

    def _check_order(self, table: pa.Table, rows: int) -> None:
        """One row per spine row, in order: an engine that drops, doubles or moves a row is caught here."""
        if rows:
            expected = pa.chunked_array([pa.arange(self._next, self._next + rows)])
            if not table["__row"].cast(pa.int64()).equals(expected):
                raise DataError("FS309", f"the engine returned rows out of order for {self.part.instance}")
        self._next += rows

    def _finished(self, table: pa.Table) -> dict[str, pa.ChunkedArray]:
        columns: dict[str, pa.ChunkedArray] = {}
        missing = _missing(table)
        self.match = table["__match"] if "__match" in table.column_names else None
        event = _event(table) if "event_timestamp" in self._request.include else None
        for output in self._served.outputs:
            value = columns[output.name] = self._value(table, output)
            if "status" in self._request.include:
                columns[f"{output.name}__status"] = _status(value, table)
            if event is not None:
                columns[f"{output.name}__event_timestamp"] = event
            self._add(output.name, value, missing)
        return columns

    def _add(self, name: str, value: pa.ChunkedArray, missing: Mapping[str, int]) -> None:
        """Count the statuses: a value is NULL wherever no fact was found that holds."""
        counts = self.counts[name]
        for status, rows in missing.items():
            counts[status] += rows
        counts["present"] += len(value) - value.null_count
        counts["null"] += value.null_count - sum(missing.values())

    def _value(self, table: pa.Table, output: Output) -> pa.ChunkedArray:
        column = table[output.name]
        if isinstance(self.part.part, Window):
            self._check_overflow(table, output)
            if output.name in self._served.listed:
                return self._moment(column, output)
        return column.cast(output.dtype.arrow)

    def _moment(self, column: pa.ChunkedArray, output: Output) -> pa.ChunkedArray:
        """Sums, means and variances of lists of numbers. Raises: DataError FS307 for a decimal sum beyond 38 digits."""
        moment = MOMENTS[output.aggregate or ""]
        values = []
        for row, numbers in enumerate(column.to_pylist()):
            try:
                values.append(moment(numbers or ()))
            except OverflowError:
                raise self._overflow(output, self._next - len(column) + row) from None
        return pa.chunked_array([pa.array(values, output.dtype.arrow)])

    def _overflow(self, output: Output, row: int) -> DataError:
        what = f"the sum {output.name!r} leaves {output.dtype}, first in spine row {row}"
        return DataError("FS307", what, hint="a CAST to double in the definition")

    def _check_overflow(self, table: pa.Table, output: Output) -> None:
        flag = f"{output.name}__overflow"
        row = pc.index(table[flag], True).as_py() if flag in table.column_names else -1
        if row >= 0:
            raise self._overflow(output, table["__row"][row].as_py())


class LabelReader(PartReader):
    """The column of a label, NULL where it is not mature: also if it is positive already, and if it would overflow."""

    def __init__(
        self, part: LabelOf, served: Served, stream: pa.RecordBatchReader, request: Request, at: pa.Array, maturity: Maturity,
        first: int = 0,
    ) -> None:  # fmt: skip
        """at: the instants of all rows from the first."""
        super().__init__(part, served, stream, request, first)
        self._at, self.maturity = at, maturity

    def _finished(self, table: pa.Table) -> dict[str, pa.ChunkedArray]:
        rows = table.num_rows
        mature = self.maturity.of(self._at.slice(self._next - rows - self._first, rows))
        columns = super()._finished(kept(table, mature))
        self.maturity.count(mature, columns[self.maturity.counts.column])
        return columns


def _status(value: pa.ChunkedArray, table: pa.Table) -> pa.ChunkedArray:
    found = pc.if_else(pc.is_valid(value), "present", "null")
    if "__match" not in table.column_names:
        return found
    match = table["__match"]
    missing = pc.if_else(pc.equal(match, sql.EXPIRED), "expired", "not_found")
    return pc.if_else(pc.equal(match, sql.FOUND), found, missing)


def _missing(table: pa.Table) -> dict[str, int]:
    """Rows without a fact, by status; windows always have a value, or NULL."""
    if "__match" not in table.column_names:
        return {}
    match = table["__match"]
    codes = {"expired": sql.EXPIRED, "not_found": sql.NOT_FOUND}
    return {status: pc.sum(pc.equal(match, code), min_count=0).as_py() for status, code in codes.items()}


def _event(table: pa.Table) -> pa.ChunkedArray:
    if "__event" not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, TIMESTAMP.arrow)])
    return table["__event"].cast(pa.int64()).cast(TIMESTAMP.arrow)
