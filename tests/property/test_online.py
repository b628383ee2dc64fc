"""Online answers equal the oracle's, bit for bit, at any instant from the watermark on (CONTRACT 8).

A hundred generated cases share one store (`featurestore.testing.strategies`). Their files arrive in three lots, each
followed by a run of the materializer to a later watermark: late rows, corrections, moves and deletions come as new files.
After every run each case is looked up at the instants on which something turns, and the answers are compared with the
oracle's F(view, key, t, W). In the end one full run into a new store must give the same.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from featurestore import FeatureStore, expressions
from featurestore.definitions import FeatureService
from featurestore.engines.reference.facts import read_history
from featurestore.engines.reference.times import Reading
from featurestore.engines.reference.values import read_keys
from featurestore.intervals import FixedClock
from featurestore.materialization import ViewReport, indexing, writing
from featurestore.online.codec import CANDIDATE
from featurestore.online.generations import generations
from featurestore.online.indexed import INDEXED_FORMAT
from featurestore.online.lmdb import LmdbStore
from featurestore.online.memory import MemoryStore
from featurestore.retrieval.online_view import layout_of, measures_of
from featurestore.testing.strategies import CASE, CREATED, EVENT, KINDS, Row, World, expecting, world
from tests.property import files
from tests.property.daily import daily
from tests.property.engines import Question, by_oracle, of_features
from tests.spec.spread import comparable

CASES_PER_STORE = 100
INSTANTS = 6
LOTS = 3
FEW_OR_MANY = (indexing.MANY, 1)
"""From how many facts on a key's record is indexed: in one store none is, in the next all are."""
NEVER = 2**62
UTC = Reading("UTC", late=False, date_is="start")

Cell = tuple[Any, str, int | None]


@dataclass
class Project:
    """A world whose files arrive lot by lot, the store they are materialized into, and what has arrived so far."""

    drawn: World
    service: FeatureService
    tables: list[pa.Table]
    folder: Path
    watermarks: tuple[int, ...]
    store: FeatureStore
    horizon: int
    arrived: list[pa.Table] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)

    @property
    def view(self) -> Any:
        return self.service.instances[0].view

    def deliver(self, lot: int) -> None:
        """Put the lot's files where the source reads, and note what is now to be known."""
        count = len(self.tables) // LOTS
        for number in range(lot * count, (lot + 1) * count):
            shutil.move(self.folder / "coming" / f"{number}.parquet", self.folder / "facts" / f"{number}.parquet")
        self.arrived = files.read(self.folder / "facts" / "*.parquet")

    def materialize(self, watermark: int, **more: Any) -> ViewReport:
        return self.store.materialize(known_before=watermark, **more)[0]

    def with_new_store(self, folder: Path | None) -> Project:
        """The same project over an empty store; in memory without a folder."""
        store = FeatureStore(definitions=[self.service], clock=self.store.clock)
        store.config = self.store.config
        store.online = MemoryStore() if folder is None else LmdbStore(folder, map_size=1 << 28)
        return replace(self, store=store)


def make_project(
    rng: Random, kind: str, folder: Path, *, cases: int = CASES_PER_STORE, on_disk: bool, expected: bool = False
) -> Project:
    drawn = world(rng, kind, cases)
    drawn = expecting(rng, drawn)[0] if expected else drawn
    spans = _spans(drawn.definition.service(table=pa.table({})))
    apart = sorted(rng.choice((1, 2, *spans)) for _ in range(2))
    last = drawn.known_before
    watermarks = (last - apart[1], last - apart[0], last) if rng.random() < 0.5 else (last, last + apart[0], last + apart[1])
    horizon = rng.choice((30 * 86_400 * 10**6, *spans, *spans))
    drawn = replace(drawn, rows=tuple(_foreseen(rng, row, watermarks, (*spans, horizon)) for row in drawn.rows))
    timed = kind != "static"
    layout = files.draw_layout(rng, timed=timed)
    while layout.in_memory:
        layout = files.draw_layout(rng, timed=timed)
    layout = replace(layout, files=tuple(rng.choice(layout.files) for _ in range(2 * LOTS)))
    definition = replace(drawn.definition, source={**drawn.definition.source, **layout.options})
    drawn = replace(drawn, definition=definition)
    columns = definition.source_columns
    tables = files.tables_of(rng, drawn.rows, definition, columns, layout)
    files.write(tables, folder / "coming", layout)
    (folder / "facts").mkdir()
    service = definition.service(path=str(folder / "facts" / "*.parquet"))
    store = FeatureStore(definitions=[service], clock=FixedClock(watermarks[-1] + rng.choice((0, 1, spans[0]))))
    online = store.config.online.model_copy(update={"horizon": f"{horizon}us"})
    store.config = store.config.model_copy(update={"online": online})
    store.online = LmdbStore(folder / "online", map_size=1 << 28) if on_disk else MemoryStore()
    return Project(drawn, service, tables, folder, watermarks, store, horizon)


def _foreseen(rng: Random, row: Row, watermarks: Sequence[int], spans: Sequence[int]) -> Row:
    """Some rows become facts that are known before a watermark and happen after it."""
    if CREATED not in row or rng.random() < 0.6:
        return row
    happens = rng.choice(watermarks) + rng.choice((0, 0, *spans)) + rng.choice((-1, 0, 0, 1))
    known = rng.choice(watermarks) - rng.choice((0, 1, 1, *spans))
    return {**row, EVENT: happens, CREATED: known}


def _spans(service: FeatureService) -> list[int]:
    """The lengths of time on which something turns: ttl, windows, offsets and their sums."""
    view = service.instances[0].view
    spans = {0 if view.ttl is None else view.ttl.micros}
    for feature in view.features:
        if not feature.is_latest:
            window = 0 if feature.window is None else feature.window.micros
            spans |= {feature.offset.micros, window, window + feature.offset.micros}
    return sorted(spans - {0}) or [10]


# What is asked, and what the oracle says of it.


@dataclass
class Asked:
    """One case's questions after a run, with the oracle's answers. spine: one row per key and instant."""

    spine: pa.Table
    instants: list[int]
    cells: Mapping[str, list[Cell]]


def asked_of(project: Project, case: int, watermark: int, rng: Random) -> Asked:
    tables = [t.filter(pc.equal(t[CASE], case)) for t in project.arrived]
    history = read_history(project.view, tables)
    static = project.view.source.static
    events = [] if static else [row.e for row in history.rows if row.e is not None]
    turns = [e + span + near for e in events for span in _spans(project.service) for near in (-1, 0, 1)]
    pending = [e + near for e in events for near in (0, 0, 0, 1, -1) if e >= watermark]
    some = [*rng.sample(pending, min(INSTANTS // 2, len(pending))), *rng.sample(turns, min(3 * INSTANTS, len(turns)))]
    some = [t for t in some if watermark <= t < NEVER]
    instants = list(dict.fromkeys((*some[:INSTANTS], watermark, rng.choice((watermark + 1, watermark + 10**9)))))
    definition = project.drawn.definition
    mine = [row for row in project.drawn.spine if row[CASE] == case]
    keys = {tuple(row[k.spine_column] for k in definition.keys): row for row in mine}
    rows = [{**row, "as_of": t} for t in instants for row in keys.values()]
    spine = pa.table({n: files.spine_column([r[n] for r in rows], t) for n, t in definition.spine_types.items()})
    cells = of_features(by_oracle(project.service, tables, spine, Question(known_before=watermark)).cells, project.service)
    return Asked(spine, instants, _with_stale(project, history, spine, watermark, cells))


def _with_stale(
    project: Project, history: Any, spine: pa.Table, watermark: int, cells: Mapping[str, list[Cell]]
) -> Mapping[str, list[Cell]]:
    """The oracle knows no horizon: beyond the first fact held back a record is not exact, and says so."""
    if project.view.source.static:
        return cells
    exact = project.view.allow_exact_matches
    names = [k.spine_column for k in project.drawn.definition.keys]
    found = {name: list(column) for name, column in cells.items()}
    stored = _stored(project.service)
    times = spine["as_of"].cast(pa.int64()).to_pylist()
    for row, (key, t) in enumerate(zip(read_keys([spine[n] for n in names], spine.num_rows, UTC), times, strict=True)):
        facts = history.usable(key, NEVER, watermark)
        held = [f.e for f in facts if f.e >= watermark + project.horizon]
        project.met["pending fact become usable"] += any(watermark <= f.e < t for f in facts)
        project.met["e = t"] += any(f.e == t for f in facts)
        if held and t > min(held) - exact:
            for name in stored:
                found[name][row] = (None, "stale", None)
    return found


def _stored(service: FeatureService) -> set[str]:
    """The features that need what the store keeps: all of views, and those on demand that read one."""
    kept = {name for instance in service.listed for name, _ in instance.features}
    for asked in service.on_demand:
        inputs, written = {c for i in asked.view.inputs for c, _ in i.features}, asked.view.expressions
        kept |= {out for out, name in asked.features if inputs & set(expressions.columns(written[name]))}
    return kept


def answers(project: Project, asked: Asked) -> dict[str, list[Cell]]:
    """The same from the store: one look-up per instant."""
    found: dict[str, list[Cell]] = {name: [] for name in project.service.feature_names}
    keys = asked.spine.num_rows // len(asked.instants)
    names = [k.spine_column for k in project.drawn.definition.keys]
    columns = {name: asked.spine[name].to_pylist() for name in (*names, *project.service.request)}
    for number, t in enumerate(asked.instants):
        given = {name: values[number * keys : (number + 1) * keys] for name, values in columns.items()}
        request = {name: given.pop(name) for name in project.service.request}
        project.met["on demand"] += bool(project.service.on_demand)
        answer = project.store.get_online_features("service", given, request=request, as_of=t)
        assert answer.as_of == t
        for i, name in enumerate(answer.feature_names):
            for row, statuses, events in zip(answer.rows, answer.statuses, answer.event_timestamps, strict=True):
                found[name].append((comparable(row[i]), statuses[i], events[i]))
    return found


def check(project: Project, watermark: int, rng: Random) -> Iterator[str]:
    """Look every case up. Gives: what differs."""
    for case in {row[CASE] for row in project.drawn.spine}:
        asked = asked_of(project, case, watermark, rng)
        found = answers(project, asked)
        for name, wanted in asked.cells.items():
            for row, (one, other) in enumerate(zip(wanted, found[name], strict=True)):
                project.met[one[1]] += 1
                t = asked.spine["as_of"][row].cast(pa.int64()).as_py()
                if one != other and not _beyond_the_horizon(project, t, other):
                    yield f"case {case}, {name}, t = {t}, W = {watermark}: oracle {one}, online {other}"
            project.met["look-ups"] += len(wanted)


def _beyond_the_horizon(project: Project, t: int, found: Cell) -> bool:
    """An indexed record may have folded what is needed no sooner than a horizon after the run that made it."""
    late = indexing.MANY == 1 and t > project.watermarks[0] + project.horizon and found == (None, "stale", None)
    project.met["beyond the horizon"] += late
    return late


# What the store holds, without what no instant from the watermark on can see.


def needed(project: Project, watermark: int) -> dict[bytes, tuple[int, list[Any]]]:
    """Key -> until when its record is exact, and its facts as far as they can still be asked for."""
    with project.store.online.read() as snapshot:
        [made] = generations(snapshot)
        read = layout_of(made).read
        rows = {key: read(record) for key, record in snapshot.scan(made.table)}
    assert made.watermark == watermark
    kept = {}
    for key, (entries, facts) in rows.items():
        latest = [e for e in entries if e[0] == CANDIDATE]
        usable = [e for e in latest if e[1] < watermark or (e[1] == watermark and project.view.allow_exact_matches)]
        latest = [*usable[-1:], *(e for e in latest if e not in usable)]
        windows = _in_reach(facts, len(measures_of(made)), watermark - _reach(project))
        if latest or windows or facts.exact_until < 2**63 - 1:
            kept[key] = (facts.exact_until, [(e[1], *map(comparable, e[2])) for e in latest] + windows)
    return kept


def _in_reach(facts: Any, measures: int, since: float) -> list[Any]:
    """Of each measure the facts from an instant on, in an order of their own."""
    found = []
    for number in range(measures):
        times, values, known = facts.measure(number)
        rows = zip(times, map(comparable, values), known or times, strict=True)
        found += sorted(((number, *row) for row in rows if row[0] >= since), key=repr)
    return found


def _reach(project: Project) -> float:
    windows = [f for f in project.view.features if not f.is_latest]
    reaches = [math.inf if f.window is None else f.window.micros + f.offset.micros for f in windows]
    return max(reaches, default=0)


# The tests.


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", daily(KINDS, "versions", "static"))
def test_online_answers_as_the_oracle_does(kind: str, fuzz_cases: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: Counter[str] = Counter()
    monkeypatch.setattr(writing, "MOST", 1e9)
    for number in range(max(2, -(-fuzz_cases // (2 * len(KINDS) * CASES_PER_STORE)))):
        rng = Random(f"{kind}/{number}")
        monkeypatch.setattr(indexing, "MANY", FEW_OR_MANY[number % 2])
        project = make_project(rng, kind, tmp_path / str(number), on_disk=(number + len(kind)) % 2 == 0)
        way = Random(f"way/{kind}/{number}")
        for lot, watermark in enumerate(project.watermarks):
            project.deliver(lot)
            monkeypatch.setattr(writing, "RECORDS", way.choice((7, 40, 200_000)))
            monkeypatch.setattr(writing, "IN_PLACE", way.choice((0, 200_000)))
            report = project.materialize(watermark)
            met[report.how] += 1
            assert report.mode == ("full" if lot == 0 or kind == "static" else "incremental"), report
            wrong = list(check(project, watermark, rng))
            assert not wrong, _explained(project, lot, wrong)
        _same_by_one_full_run(project, rng)
        met += project.met
        shutil.rmtree(tmp_path / str(number))
    assert met["look-ups"] > 600
    rare = [edge for edge in _edges(kind) if met[edge] < 50]
    assert not rare, f"too rare: {rare}; met: {met}"


def _same_by_one_full_run(project: Project, rng: Random) -> None:
    """A new store filled at once holds the same, and so does the old one after another run to the same watermark. Of indexed
    records the answers are compared."""
    watermark = project.watermarks[-1]
    fresh = project.with_new_store(None)
    assert fresh.materialize(watermark).mode == "full"
    if indexing.MANY == 1:
        assert not list(check(fresh, watermark, rng))
        for filled in (project, fresh):
            with filled.store.online.read() as snapshot:
                [made] = generations(snapshot)
                project.met["indexed"] += sum(record[0] == INDEXED_FORMAT for _, record in snapshot.scan(made.table))
        return
    assert needed(project, watermark) == needed(fresh, watermark)
    project.materialize(watermark)
    assert needed(project, watermark) == needed(fresh, watermark)
    project.materialize(watermark, full=True)
    project.store.rollback(project.view.name)
    assert needed(project, watermark) == needed(fresh, watermark)
    assert project.materialize(watermark - 1).mode == "nothing"
    assert needed(project, watermark) == needed(fresh, watermark)


def _edges(kind: str) -> list[str]:
    if kind == "static":
        return ["present", "not_found"]
    # A fact known by its event time is never known before it: only created times make pending facts.
    pending = ["pending fact become usable", "e = t", "stale"] if "created" in kind or kind.startswith("versions") else []
    pending = [] if kind == "versions_delayed" else pending
    return ["present", "null", "expired", "not_found", "indexed", *pending]


def _explained(project: Project, lot: int, wrong: Sequence[str]) -> str:
    shown = "\n".join(wrong[:10])
    text = project.drawn.definition.text('path="…"')
    return f"after lot {lot}, horizon {project.horizon}: {len(wrong)} differences\n{shown}\n\n{text}"
