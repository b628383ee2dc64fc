"""Build a training set by Spark: each part of the plan is one statement or more, the last steps run on executors.

What the spine asks is made first, piece by piece; what each statement answers is kept in the work folder, cut into the same
pieces; the last steps lay a piece of all of them beside the spine's own columns. The driver sees counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import plan as planning
from featurestore.compiler.spark import statements
from featurestore.engines.duckdb.checks import check_static, greatest_known, pushed_to
from featurestore.engines.duckdb.expectations import Judge
from featurestore.engines.spark import Session, SparkSettings
from featurestore.engines.spark.heavy import heavy_keys
from featurestore.engines.spark.window_choice import choose, described
from featurestore.errors import UsageError
from featurestore.plan.needed import EVERYTHING, Needed, needed
from featurestore.plan.nodes import LabelOf, Latest, Part, PartOf, PlanKey, StaticLookup, Window
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundLabel, BoundService
from featurestore.retrieval.content import ContentHash
from featurestore.retrieval.spark.asked import Asked, Reading
from featurestore.retrieval.spark.finishing import Answer, Finish, slim
from featurestore.retrieval.spark.pieces import pieces_of
from featurestore.retrieval.spine import (
    ROWS_AT_ONCE,
    Spine,
    check_features,
    check_label,
    instants,
    key_column,
    request_column,
)
from featurestore.retrieval.training_set import (
    Observer,
    Report,
    Request,
    Served,
    added_fields,
    is_exact,
    run_parameters,
    sources_of,
    summed,
)
from featurestore.sources import SourceData


class SparkBuild:
    """One build: `schema`, then `write(folder)` once, then `report`. Use as a context manager.

    Raises on entry: DefinitionError for what Spark is not asked to do; SpineError, SourceError, DataError, StoreError for
    whatever is wrong with spine, sources or Spark, before any work.
    """

    engine = "spark"

    def __init__(
        self,
        service: BoundService,
        spine: Spine,
        sources: Mapping[str, SourceData],
        settings: SparkSettings,
        request: Request,
        watch: Watcher | None = None,
        judge: Judge | None = None,
        observe: Observer | None = None,
    ) -> None:
        """judge: holds the rows of sources against what is expected of them, before anything is read of them. observe: called
        with the rows once they are written; their instants are left to it, and how facts were found is not told."""
        if request.split is not None:
            raise UsageError("FS102", "splits are not made by Spark", hint="`featurestore split` of the finished set")
        self.service, self.spine, self.request = service, spine, request
        self.plan = planning.with_pushed(planning.training_set(service), pushed_to(sources), request.files_before)
        self.report = Report(rows=spine.rows)
        self._sources, self._settings = sources, settings
        self._watch, self._judge, self._observe = watch or (lambda _: None), judge, observe
        self._known: dict[str, int | None] = {}
        self._stack = ExitStack()
        added = added_fields(service, self.plan, request.include)
        check_features(spine.schema, [f.name for f in added])
        if request.label is not None:
            taken = [*service.spine_keys, *service.request, request.as_of]
            check_label(spine.schema, request.label, taken, service.label_types)
        self.schema = pa.schema([*spine.schema, *added])

    def __enter__(self) -> SparkBuild:
        try:
            self._check_columns()
            for part in self.plan.answers:
                statements(part.part)  # what Spark cannot do is refused before it is started
            self._watch(Progress("starting Spark"))
            self._session = self._stack.enter_context(Session(self._settings))
            self._pieces = pieces_of(self.spine, self._session.folder)
            if judge := self._judge:
                self.report.warnings += judge.check(self._sources.values(), self._watch, lambda: nullcontext(self._session))
            self._asked = self._ask()
            self._check_sources()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder of this build's own; it goes with the build."""
        folder = self._session.folder / "out"
        folder.mkdir()
        yield folder

    @property
    def versions(self) -> dict[str, str]:
        return {"spark": self._session.spark.version}

    def _check_columns(self) -> None:
        """What the spine's columns are is known without its rows. Raises: SpineError."""
        none = Spine(self.spine.schema, 0, self.spine.schema.empty_table())
        asked = self.request
        instants(none, asked.as_of, timezone=asked.timezone, as_of_format=asked.as_of_format)
        for key in self._keys:
            key_column(none, key.spine_column, key.dtype)
        for name, dtype in self.service.request.items():
            request_column(none, name, dtype, timezone=asked.timezone)

    @property
    def _keys(self) -> list[PlanKey]:
        return [key for part in self.plan.answers for key in part.part.spine.keys]

    def _ask(self) -> Asked:
        asked, folder = self.request, self._session.folder / "asked"
        folder.mkdir()
        reading = Reading(asked.as_of, asked.timezone, asked.as_of_format)
        keys = tuple(dict.fromkeys((key.spine_column, key.dtype) for key in self._keys))
        made = Asked(self._pieces, folder, reading, keys, dict(self.service.request))
        with self._session.watched(self._watch, "reading the spine"):
            ends = self._session.each(made.make, range(self._pieces.count))
        self._first = min((e["first"] for e in ends if e["first"] is not None), default=None)
        self._last = max((e["last"] for e in ends if e["last"] is not None), default=None)
        self._session.bind_files("asked", made.files, made.columns)
        return made

    def _check_sources(self) -> None:
        with self._session.watched(self._watch, "checking sources"):
            for bound in (i.bound for i in (*self.service.instances, *self.service.labels)):
                if bound.name in self.report.left_out:
                    continue
                data = self._sources[bound.view.source.name]
                self.report.check(self._session, bound, data)  # type: ignore[arg-type]
                if isinstance(bound, BoundLabel):
                    self._known[bound.name] = greatest_known(self._session, bound, data)  # type: ignore[arg-type]

    def write(self, folder: Path) -> None:
        """Write the training set into an empty folder: files whose order by name is the spine's order. `report` is complete."""
        answers = []
        for number, part in enumerate(self.plan.answers, 1):
            stage = f"view {part.instance} ({number} of {len(self.plan.answers)})"
            with self._session.watched(self._watch, stage):
                answers += [self._answer(part, served, number, i) for i, served in enumerate(self._served(part), 1)]
        where = folder.absolute()  # executors run elsewhere
        finish = Finish(self._pieces, self._asked, tuple(answers), self.plan.on_demand, self.request, self.schema, where)
        with self._session.watched(self._watch, "joining"):
            told = self._session.each(finish.make, range(self._pieces.count))
        self._check_unchanged()
        self._count(told)
        self.report.content_hash = self._hashed(folder)

    def _answer(self, part: PartOf | LabelOf, served: Served, number: int, position: int) -> Answer:
        folder = self._session.folder / f"part_{number}_{position}"
        parameters = {**self._parameters(part.part), **served.parameters}
        self._session.write(served.sql, parameters, folder, rows_per_file=self._pieces.length)
        known = self._known[part.view] if isinstance(part, LabelOf) else None
        return Answer(slim(part), Served(served.outputs, "", {}, served.listed), folder, known)

    def _served(self, part: PartOf | LabelOf) -> list[Served]:
        """The statements that serve a part, over the relations it reads."""
        self._bind(part.part)
        if isinstance(part.part, StaticLookup):
            check_static(self._session, part.part)  # type: ignore[arg-type]
        if isinstance(part.part, Window):
            return self._windows(part)
        if isinstance(part.part, Latest) and self._is_skewed(part.part):
            return [Served(part.part.outputs, self._session.sql.latest(part.part, skewed=True))]
        return [Served(s.outputs, s.sql, s.parameters, s.listed) for s in self._session.sql.statements(part.part)]

    def _is_skewed(self, part: Latest | Window) -> bool:
        rows = self.spine.rows + sum(self._sources[name].rows for name in sources_of(part))
        return heavy_keys(self._session, part, self._parameters(part), rows)

    def _windows(self, part: PartOf | LabelOf) -> list[Served]:
        assert isinstance(part.part, Window)
        skewed = self._is_skewed(part.part)
        choices = choose(self._session, part.part, self._parameters(part.part), self.spine.rows,
                         wanted=self._settings.window_plan, skewed=skewed)  # fmt: skip
        self.report.windows.setdefault(part.instance, []).extend(map(described, choices))
        return [Served(c.outputs, c.sql, c.parameters, c.listed) for c in choices]

    def _bind(self, part: Part) -> None:
        for source, columns in sources_of(part).items():
            types = {c.name: c.dtype for c in columns}
            self._session.bind_source(self._sources[source], list(types), types, needed=self._needed(part))
        self._session.bind("spine", self._session.spark.table("asked").selectExpr(*self._asked.spine_of(part)))

    def _needed(self, part: Part) -> Needed:
        if self._first is None or self._last is None:
            return EVERYTHING
        first, last = self._first + part.spine.ahead, self._last + part.spine.ahead
        return needed(part, first, last, self.request.known_before, self.request.serving_lag)

    def _parameters(self, part: Part) -> dict[str, object]:
        return run_parameters(self.request.known_before, self.request.serving_lag, exact=is_exact(part))

    def _count(self, told: Sequence[Mapping[str, Any]]) -> None:
        names = dict.fromkeys(name for one in told for name in one["counts"])
        self.report.count(self.service, {name: summed([one["counts"][name] for one in told]) for name in names})
        self.report.without_value = summed([one["without_value"] for one in told])
        self.report.labels = {
            name: {
                what: sum(one["labels"][name][what] for one in told) if isinstance(value, int) else value
                for what, value in first.items()
            }
            for name, first in told[0]["labels"].items()
        }
        if self.request.label is not None:
            nulls = sum(one["label_nulls"] for one in told)
            self.report.label = {"column": self.request.label, "present": self.spine.rows - nulls, "null": nulls}

    def _check_unchanged(self) -> None:
        for data in self._sources.values():
            data.check_unchanged()

    def _hashed(self, folder: Path) -> str:
        content, done = ContentHash(self.schema), 0
        for table in written(folder, self.schema):
            content.update(table)
            if self._observe is not None:
                self._observe(table, None, {}, {})
            done += table.num_rows
            self._watch(Progress("hashing", done, self.spine.rows))
        return content.hexdigest()


def written(folder: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a training set in a folder, file after file, some at a time; at least one table."""
    yield schema.empty_table()
    for path in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                yield pa.Table.from_batches([batch]).cast(schema)


__all__ = ["SparkBuild", "written"]
