"""Pushed rows are in online answers at once: those of the oracle over what was known of files at W and all that was pushed.

Some versions of a generated world come by push, some before the run of the materializer and most after it: corrections, moves,
deletions, and rows that are pushed again. In between runs the store's answers may be `stale` where a fact that a record was
made from is gone, and must be right everywhere else; a later run, to a watermark in the midst of the pushes, leaves what
arrived after it where it was.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.engines.reference.facts import read_history
from featurestore.intervals import FixedClock
from featurestore.materialization import indexing, writing
from featurestore.materialization.pushed import ToOnline
from featurestore.online.lmdb import LmdbStore
from featurestore.online.memory import MemoryStore
from featurestore.online.redis import RedisStore
from featurestore.online.store import OnlineStore
from featurestore.retrieval.online_features import OnlineReader
from featurestore.sources import open_source
from featurestore.sources.push_compaction import compact
from featurestore.sources.push_log import PushLog, read_log
from featurestore.sources.push_rows import PushTarget
from featurestore.testing.strategies import CASE, CREATED, EVENT, FAR, Row, world
from tests.property import files
from tests.property.daily import daily
from tests.property.engines import Question, by_oracle, of_features
from tests.property.test_online import FEW_OR_MANY, INSTANTS, NEVER, Asked, Project, _spans, _with_stale, answers
from tests.property.test_pushed import PLAIN, VERSIONED, can_be_pushed, pushed_rows
from tests.redis_server import RedisServer

CASES = 40
STALE = (None, "stale", None)
STAGES = 3


class Pushing:
    """A world in a store, files and pushes apart."""

    def __init__(self, rng: Random, kind: str, folder: Path, online: OnlineStore) -> None:
        self.rng, self.folder = rng, folder
        drawn = world(rng, kind, CASES)
        definition = replace(drawn.definition, source={**drawn.definition.source, **PLAIN.options})
        self.drawn = replace(drawn, definition=definition)
        chosen = [row for row in drawn.rows if can_be_pushed(row, FAR) and rng.random() < 0.6]
        self.of_files = [row for row in drawn.rows if not any(row is one for one in chosen)]
        instants = sorted(row[CREATED] for row in chosen)
        self.watermark = instants[len(instants) // 4] + rng.choice((0, 1))
        self.coming = sorted(chosen, key=lambda row: row[CREATED])
        pattern = files.write(self._tables(self.of_files), folder / "facts", PLAIN)
        self.service = definition.service(path=str(pattern))
        self.store = FeatureStore(definitions=[self.service], clock=FixedClock(2**61))
        self.store.root = folder
        self.store.push_folder = lambda name: folder / "push" / name  # type: ignore[method-assign]
        self.store.online = online
        self.store.reader = OnlineReader(self.store.online, self.store.clock)
        source = self.service.instances[0].view.source
        self.delay = source.known_delay.micros
        self.created = source.created_timestamp is not None
        self.null_is_event = source.created_null == "event"
        self.target = PushTarget.of(source, open_source(source, Path("/")).types)
        self.to_online = ToOnline("facts", folder / "push" / "facts", lambda: self.store.online)
        self.log = PushLog(folder / "push" / "facts", self.to_online)
        self.newest: dict[int, int] = {}
        self.corrected: set[int] = set()

    def _tables(self, rows: Sequence[Row]) -> list[pa.Table]:
        definition = self.drawn.definition
        return files.tables_of(Random(1), rows, definition, definition.source_columns, PLAIN)

    def push(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        done = pushed_rows(self.rng, self.log, self.target, rows)
        for row in done:
            self.newest[row[CASE]] = max(row[CREATED], self.newest.get(row[CASE], row[CREATED]))
        self.coming = [row for row in self.coming if not any(row is one for one in rows)]

    def push_before(self, instant: int | None) -> None:
        """Push what has a created time before an instant (None: a part of what is left, some of it twice)."""
        if instant is not None:
            self.push([row for row in self.coming if row[CREATED] < instant])
            return
        part = self.coming[: max(1, len(self.coming) // 2)]
        again = self.rng.sample(part, len(part) // 5)
        late = max(row[CREATED] for row in part)
        self.push([*part, *({**row, CREATED: late} for row in again)])

    def known_at(self, row: Row) -> int | None:
        if self.created and (row[CREATED] is not None or not self.null_is_event):
            return row[CREATED]  # type: ignore[no-any-return]
        return None if row[EVENT] is None else row[EVENT] + self.delay

    def tables(self) -> list[pa.Table]:
        """What is known: of files what was known at W, and all that was pushed."""
        known = [row for row in self.of_files if (k := self.known_at(row)) is not None and k < self.watermark]
        log = read_log(self.folder / "push" / "facts")
        assert log is not None
        compacted = [pq.read_table(file.path) for file in log.files]
        return [*self._tables(known), *compacted, *log.tables]

    def project(self) -> Project:
        return Project(self.drawn, self.service, [], self.folder, (self.watermark,), self.store, 30 * 86_400 * 10**6)

    def check(self) -> Iterator[str]:
        tables, project = self.tables(), self.project()
        for case in {row[CASE] for row in self.drawn.spine}:
            asked = self._asked(project, tables, case)
            found = answers(project, asked)
            for name, wanted in asked.cells.items():
                for row, (one, other) in enumerate(zip(wanted, found[name], strict=True)):
                    MET["stale" if other == STALE else "told"] += 1
                    MET["as of the newest push"] += asked.spine["as_of"][row].cast(pa.int64()).as_py() == self.newest.get(case)
                    if one != other and other != STALE:
                        t = asked.spine["as_of"][row].cast(pa.int64()).as_py()
                        yield f"case {case}, {name}, t = {t}, W = {self.watermark}: oracle {one}, online {other}"

    def _asked(self, project: Project, tables: Sequence[pa.Table], case: int) -> Asked:
        mine = [t.filter(pc.equal(t[CASE], case)) for t in tables]
        history = read_history(project.view, mine)
        since = max(self.watermark, self.newest.get(case, self.watermark))
        events = [row.e for row in history.rows if row.e is not None]
        turns = [e + span + near for e in events for span in (0, *_spans(project.service)) for near in (-1, 0, 1)]
        turns = [t for t in turns if since <= t < NEVER]
        instants = list(dict.fromkeys((since, since + 1, *self.rng.sample(turns, min(INSTANTS, len(turns))))))
        definition = self.drawn.definition
        keys = {tuple(row[k.spine_column] for k in definition.keys): row for row in self.drawn.spine if row[CASE] == case}
        rows = [{**row, "as_of": t} for t in instants for row in keys.values()]
        spine = pa.table({n: files.spine_column([r[n] for r in rows], t) for n, t in definition.spine_types.items()})
        cells = of_features(by_oracle(self.service, mine, spine, Question()).cells, self.service)
        return Asked(spine, instants, _with_stale(project, history, spine, self.watermark, cells))


MET: Counter[str] = Counter()
STORES: Sequence[Callable[[Path, RedisServer, str], OnlineStore]] = (
    lambda folder, redis, name: LmdbStore(folder, map_size=1 << 28),
    lambda folder, redis, name: MemoryStore(),
    lambda folder, redis, name: RedisStore(redis.url, name),
)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", daily(VERSIONED, "versions_deleted"))
def test_pushed_rows_are_in_answers(
    kind: str, fuzz_cases: int, tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    MET.clear()
    for number in range(max(2, fuzz_cases // (len(VERSIONED) * CASES * 16))):
        rng = Random(f"at once/{kind}/{number}")
        monkeypatch.setattr(indexing, "MANY", FEW_OR_MANY[number % 2])
        monkeypatch.setattr(writing, "IN_PLACE", rng.choice((0, 200_000)))
        monkeypatch.setattr(writing, "MOST", 1e9)
        monkeypatch.setattr(writing, "RECORDS", rng.choice((7, 200_000)))
        online = STORES[(number + len(kind)) % 3](tmp_path / f"{number} online", redis, f"{kind}{number}")
        pushing = Pushing(rng, kind, tmp_path / str(number), online)
        pushing.push_before(pushing.watermark - 1)
        pushing.store.materialize(known_before=pushing.watermark)
        for _ in range(STAGES):
            pushing.push_before(None)
            wrong = list(pushing.check())
            assert not wrong, _explained(pushing, wrong)
        later = [t for t in sorted(pushing.newest.values()) if t >= pushing.watermark]
        pushing.watermark = rng.choice(later) + rng.choice((0, 1))
        if rng.random() < 0.5:
            compact(pushing.folder / "push" / "facts")
        pushing.store.materialize(known_before=pushing.watermark, full=rng.random() < 0.3)
        wrong = list(pushing.check())
        assert not wrong, _explained(pushing, wrong)
        pushing.push_before(None)
        wrong = list(pushing.check())
        assert not wrong, _explained(pushing, wrong)
        pushing.store.online.close()
        shutil.rmtree(tmp_path / str(number))
    assert MET["told"] > 400
    assert MET["as of the newest push"] > 50
    assert MET["stale"] < 0.5 * MET["told"], MET


def _explained(pushing: Pushing, wrong: Sequence[str]) -> str:
    shown = "\n".join(wrong[:10])
    text = pushing.drawn.definition.text('path="…"')
    return f"{len(wrong)} differences\n{shown}\n\n{text}"
