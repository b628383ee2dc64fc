"""Prove that a training set holds nothing its rows could not know: what they may not see is deleted, changed, delayed and
added to, and no cell may move by a bit.

No oracle is trusted: the service's own build is compared with itself. Each way of touching rows is also tried on rows that
are seen, where cells must move; and rows, files, threads and memory are shuffled, where not a byte may.
Labels look ahead by intention and are left out; static sources have no history and are only shuffled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.audit.asking import asking
from featurestore.audit.moved import BESIDE, moved
from featurestore.audit.perturbed import Drawn, Pivot, Workbench, pivots
from featurestore.audit.proof import EXAMPLES, Control, Moved, Probe, Proof
from featurestore.audit.truth import stored
from featurestore.definitions import Source
from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import FeatureStoreError, UsageError
from featurestore.intervals import format_instant
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundService
from featurestore.retrieval import build
from featurestore.retrieval.build import open_all
from featurestore.retrieval.spine import Spine, instants, spine_of
from featurestore.retrieval.training_set import INCLUDES, Build, Request
from featurestore.sources import IdentityCache, SourceData
from featurestore.sources.files import sha256

ROWS = 200_000
"""Of how many rows of the spine cells are probed; of a larger one so many, evenly spread."""
TRUNCATIONS = 3
"""At how many instants at least all sources are truncated."""
SMALL_MEMORY = "512MB"
_DONE = {
    "deleted": "rows that count only later are gone",
    "changed": "they have other values, and other keys",
    "delayed": "they come later still",
    "added": "copies of rows count from the next instant on",
}
_OUT_OF_ROOM = ("FS405", "FS409")
_LEFT_OUT = "FS327"


def prove(
    service: BoundService,
    spine: Any,
    *,
    sources: Callable[[Source], SourceData],
    settings: Settings,
    identities: IdentityCache,
    request: Request,
    probes: int = 1,
    seed: int = 0,
    watch: Watcher | None = None,
) -> Proof:
    """Probe a service over a spine. probes: how many instants are drawn for each key. seed: which.

    Raises: UsageError FS102, SpineError, SourceError, DataError, StoreError; nothing but temporary files is written.
    """
    if probes < 1:
        raise UsageError("FS102", f"--probes {probes} probes nothing", hint="--probes 2")
    opened, data = open_all(service, spine, sources, request.as_of)
    with Session(settings) as session:
        run = _Run(session, service, opened, data, settings, identities, replace(request, include=INCLUDES), seed)
        return run.proof(probes, watch or (lambda _: None))


@dataclass
class _Run:
    """One proof: the spine, what was built of the untouched sources, and the bench where they are touched."""

    session: Session
    service: BoundService
    spine: Spine
    sources: Mapping[str, SourceData]
    settings: Settings
    identities: IdentityCache
    request: Request
    seed: int

    def proof(self, draws: int, watch: Watcher) -> Proof:
        known = pivots(self.service)
        steps = [(p, number, kind) for p in known if p.instances for number, kind in _steps(p, draws)]
        total = len(_SHUFFLES) + sum(1 + (number == 0) for _, number, _ in steps)
        done = 0

        def step() -> None:
            nonlocal done
            watch(Progress("probing", done, total))
            done += 1

        watch(Progress("building what the probes are compared with"))
        asked = self.session.folder / "asked.parquet"
        self._built(self.sources, self.settings, asked)
        self._digest = sha256(asked)
        self._take(asked)
        found = Proof(self.service.name, self.spine.rows, self._asked.rows, self.seed, _with_history(known[-1]))
        self._bench = Workbench(self.session, self.service, self._asked, self.sources, self.request)
        for shuffle in _SHUFFLES:
            step()
            found.probes.append(self._shuffled(shuffle))
        for pivot, number, kind in steps:
            seed = Random(f"prove {self.seed} {pivot} {number}").getrandbits(31)
            drawn = self._bench.draw(pivot, seed)
            step()
            probe = self._probed(pivot, kind, drawn, seed)
            probe.name += f", draw {number + 1}" if number else ""
            if number == 0:
                step()
                probe.control = self._controlled(pivot, kind, drawn, seed)
            found.probes.append(probe)
        watch(Progress("probing", total, total))
        return found

    def _take(self, path: Path) -> None:
        """The spine's rows that are probed, and their cells as they were built."""
        columns = [f"{name}{beside}" for name in self.service.feature_types for beside in BESIDE]
        self._numbers, self._asked = asking(self.spine, self.service, self.request.as_of, ROWS)
        cells = pq.read_table(path, columns=columns)
        self._cells = cells.take(pa.array(self._numbers, pa.int64())) if self._asked.rows < self.spine.rows else cells
        at = instants(self._asked, self.request.as_of, timezone=self.request.timezone, as_of_format=self.request.as_of_format)
        self._at = at.to_pylist()

    # What may not move a byte.

    def _shuffled(self, shuffle: _Shuffle) -> Probe:
        probe = Probe(shuffle.name, "shuffled", shuffle.done, seed=self.seed, rows=self.spine.rows, bytes=True)
        probe.features = tuple({**self.service.feature_types, **self.service.label_types})
        sources = self._bench.shuffled(shuffle.files, self.seed) if shuffle.files else dict(self.sources)
        path = self.session.folder / "shuffled.parquet"
        probe.touched = {name: self.sources[name].rows for name in sources} if shuffle.files else {}
        try:
            self._built(sources, replace(self.settings, **shuffle.settings), path)
        except FeatureStoreError as error:
            if error.code not in _OUT_OF_ROOM:
                raise
            probe.reason = str(error)
            return probe
        finally:
            self._bench.forget(sources)
        if sha256(path) != self._digest:
            columns = [f"{name}{beside}" for name in probe.features for beside in BESIDE]
            whole = pq.read_table(self.session.folder / "asked.parquet", columns=columns)
            rows = moved(whole, pq.read_table(path, columns=columns), probe.features)
            probe.moved = {name: len(found) for name, found in rows.items()}
            probe.error = "" if rows else "the files differ in their bytes, not in their cells"
        return probe

    def _built(self, sources: Mapping[str, SourceData], settings: Settings, path: Path) -> None:
        build.run(
            self.service, self._spine_again(), sources=lambda source: sources[source.name], settings=settings,
            identities=self.identities, request=self.request, output=path,
        )  # fmt: skip

    def _spine_again(self) -> Any:
        return self.spine.path if self.spine.table is None else self.spine.table

    # What may not move a cell.

    def _probed(self, pivot: Pivot, kind: str, drawn: Drawn, seed: int) -> Probe:
        name = "truncated" if pivot.columns is None and kind == "deleted" else kind
        probe = Probe(f"{name}, by {pivot}", name, _DONE[kind], str(pivot), seed)
        probe.features, probe.rows = tuple(pivot.service.feature_types), len(drawn.rows)
        sources, probe.touched = self._bench.perturbed(kind, drawn, seed)
        try:
            if any(probe.touched.values()):
                before, after = self._compared(pivot, drawn, sources)
                rows = moved(before, after, probe.features)
                probe.moved = {feature: len(found) for feature, found in rows.items()}
                probe.examples = self._examples(rows, drawn, before, after)
        except FeatureStoreError as error:
            self._judge(error, probe)
        finally:
            self._bench.forget(sources)
        return probe

    def _judge(self, error: FeatureStoreError, probe: Probe) -> None:
        """A build that fails although the untouched sources did not: by what it may not see. Room is nobody's secret."""
        if error.code in _OUT_OF_ROOM:
            raise error
        if error.code == _LEFT_OUT:
            probe.reason = str(error)
        else:
            probe.error = f"the build fails: {error}"

    def _controlled(self, pivot: Pivot, kind: str, drawn: Drawn, seed: int) -> Control:
        sources, touched = self._bench.perturbed(kind, drawn, seed, control=True)
        try:
            rows = moved(*self._compared(pivot, drawn, sources), pivot.service.feature_types) if any(touched.values()) else {}
            return Control(touched, {feature: len(found) for feature, found in rows.items()})
        except FeatureStoreError as error:
            if error.code in _OUT_OF_ROOM:
                raise
            return Control(touched, {}, str(error))
        finally:
            self._bench.forget(sources)

    def _compared(self, pivot: Pivot, drawn: Drawn, sources: Mapping[str, SourceData]) -> tuple[pa.Table, pa.Table]:
        """The cells of the rows drawn, as they were built and as they are over other sources."""
        assert self._asked.table is not None
        spine = spine_of(self._asked.table.take(drawn.rows).combine_chunks())
        own = {i.bound.view.source.name: sources[i.bound.view.source.name] for i in pivot.service.instances}
        with Build(pivot.service, spine, own, self.settings, self.request) as built:
            after = pa.concat_tables(list(built.batches()))
        return self._cells.take(drawn.rows), after

    def _examples(self, rows: Mapping[str, Sequence[int]], drawn: Drawn, before: pa.Table, after: pa.Table) -> list[Moved]:
        found = []
        numbers = drawn.rows.to_pylist()
        for feature, which in rows.items():
            for row in which[: max(1, EXAMPLES // len(rows))]:
                place = numbers[row]
                found.append(
                    Moved(feature, self._numbers[place], self._key(place), format_instant(self._at[place]),
                          _cell(before, feature, row), _cell(after, feature, row))
                )  # fmt: skip
        return found[:EXAMPLES]

    def _key(self, row: int) -> dict[str, Any]:
        assert self._asked.table is not None
        return {name: self._asked.table[name][row].as_py() for name in self.service.key_columns}


def _steps(pivot: Pivot, draws: int) -> Iterator[tuple[int, str]]:
    """Draw by draw what is done. The whole spine has one instant a draw, and is truncated at a few."""
    for number in range(draws if pivot.columns is not None else max(draws, TRUNCATIONS)):
        for kind in _DONE if number < draws else ("deleted",):
            yield number, kind


def _with_history(whole: Pivot) -> tuple[str, ...]:
    """The features that can leak: all but those of static sources."""
    static = {name for i in whole.service.instances if i.bound.view.source.static for name, _, _ in i.features}
    return tuple(name for name in whole.service.feature_types if name not in static)


def _cell(table: pa.Table, feature: str, row: int) -> dict[str, Any]:
    value, status, event = (stored(table[f"{feature}{beside}"].slice(row, 1))[0] for beside in BESIDE)
    return {"value": value, "status": status, "event_timestamp": None if event is None else format_instant(event)}


@dataclass(frozen=True)
class _Shuffle:
    """files: into how many files the rows of each source are shuffled; 0: they stay. settings: of the engine."""

    name: str
    done: str
    files: int
    settings: Mapping[str, Any]


_SHUFFLES = (
    _Shuffle("rows in another order", "one file per source, one thread", 1, {"threads": 1}),
    _Shuffle("rows in other files", "three files per source, in another order, four threads", 3, {"threads": 4}),
    _Shuffle("less memory", f"{SMALL_MEMORY} of memory, two threads", 0, {"threads": 2, "memory_limit": SMALL_MEMORY}),
)

__all__ = ["ROWS", "prove"]
