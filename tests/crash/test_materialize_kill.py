"""kill -9 at any moment of a materialization: a reader meets the last complete generation or the next, whole."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore, FeatureStoreError
from featurestore.catalogue import kept as catalogue
from featurestore.materialization import ViewReport, writing
from featurestore.online import past
from featurestore.online.generations import generations, kept_generations
from featurestore.online.runs import all_running
from tests.crash.killing import CONTEXT, FORGET_IN_LOG, KILLED, PATIENCE, fail_points, kill_at_random, run

CUSTOMERS, GENERATIONS = 300, 80
HOUR = 3_600_000_000
START = 1_704_067_200_000_000
FULL, IN_PLACE, COPY = "full", "in place", "copy"
OLD_STANDS = {
    FULL: ("begun", "batch", "chunk", "computed", "written", "published"),
    IN_PLACE: ("begun", "computed", "written", "published"),
    COPY: ("begun", "copying", "copied", "removing", "batch", "chunk", "refreshed", "written", "published"),
}
NEW_STANDS = ("done",)
TAKEN_UP = {FULL: {"chunk", "computed", "written", "published"}, IN_PLACE: set[str](), COPY: set[str]()}
"""After a kill at these moments the next run finds records of its own there; a copy begins its own records anew."""
PER_TRANSACTION = 100
RANDOM_KILLS = 22
VIEWS = ("newest", "history")

DEFINITIONS = """
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

customer = Entity(name="customer")
steps = ParquetSource(name="steps", path="data/steps.parquet", event_timestamp="at", delay="0s")
newest = FeatureView(name="newest", entities=[customer], source=steps, features=[latest("step"), latest("mark")])
history = FeatureView(
    name="history", entities=[customer], source=steps,
    features=[agg.count(window=None, name="steps"), latest("step", name="last")],
)
both = FeatureService(name="both", features=[newest, history])
"""
ENTITIES = {"customer": list(range(CUSTOMERS))}


def watermark(generation: int) -> int:
    """Every customer has made the steps 0 to `generation` before it, and not the next."""
    return START + generation * HOUR + HOUR // 2


def wrong(answer: Any) -> list[str]:
    """What in an answer does not belong to one generation of each view: values, event times, watermark."""
    found = []
    for view, columns in (("newest", ("step", "mark")), ("history", ("steps", "last"))):
        generation, rest = divmod(answer.watermarks[view] - watermark(0), HOUR)
        values = {"step": generation, "mark": f"mark {generation}", "steps": generation + 1, "last": generation}
        for name in columns:
            position = answer.feature_names.index(name)
            cells = {(row[position], times[position]) for row, times in zip(answer.rows, answer.event_timestamps, strict=True)}
            event = None if name == "steps" else START + generation * HOUR
            if rest or cells != {(values[name], event)}:
                found.append(f"{view} at generation {generation}: {name} is {sorted(cells, key=str)[:3]}")
    return found


@dataclass
class Project:
    """A project whose online store holds a complete generation, number `reached`, of both views."""

    root: Path
    reached: int = 0

    def standing(self) -> dict[str, int]:
        """The generation of each view, as a store opened just now finds them."""
        store = FeatureStore(self.root)
        try:
            answer = store.get_online_features("both", ENTITIES)
        finally:
            store.online.close()
        assert wrong(answer) == []
        return {view: (answer.watermarks[view] - watermark(0)) // HOUR for view in VIEWS}

    def check(self, **expected: int) -> None:
        """The store stands where it is expected to."""
        assert self.standing() == expected
        self.reached = min(expected.values())


def materialize(root: Path, generation: int, way: str) -> list[ViewReport]:
    """A run in several transactions, by the way asked for."""
    writing.RECORDS = PER_TRANSACTION
    writing.IN_PLACE, writing.MOST = (0, 2.0) if way == COPY else (CUSTOMERS, 0.5)
    store = FeatureStore(root)
    reports = store.materialize(known_before=watermark(generation), full=way == FULL)
    store.online.close()
    return reports


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project at generation 0, and a process that looks every customer up all the time."""
    made = new_project(tmp_path / "project")
    materialize(made.root, 0, IN_PLACE)
    stop, (answer, told) = CONTEXT.Event(), CONTEXT.Pipe(duplex=False)
    reader = CONTEXT.Process(target=look_up, args=(made.root, stop, told), daemon=True)
    reader.start()
    assert answer.poll(PATIENCE)
    assert answer.recv() == "ready"
    yield made
    stop.set()
    assert answer.poll(PATIENCE), "the reader hangs"
    looks, seen = answer.recv()
    reader.join()
    assert seen == []
    assert looks > 10


def look_up(root: Path, stop: Event, told: Connection) -> None:
    """Look up until told to stop; tell how often, and every answer that was torn, refused, or older than one before."""
    store, looks, seen = FeatureStore(root), 0, list[str]()
    newest = dict.fromkeys(VIEWS, 0)
    told.send("ready")
    while not stop.is_set():
        looks += 1
        try:
            answer = store.get_online_features("both", ENTITIES)
            seen += wrong(answer)
            seen += [f"{view}: W went back" for view in VIEWS if answer.watermarks[view] < newest[view]]
            newest = dict(answer.watermarks)
        except Exception as error:
            seen.append(repr(error))
        stop.wait(0.005)
    told.send((looks, seen[:5]))


def new_project(root: Path) -> Project:
    for folder in ("registry", "data"):
        (root / folder).mkdir(parents=True)
    (root / "featurestore.toml").write_text("[offline]\nthreads = 1\n")
    (root / "registry" / "definitions.py").write_text(DEFINITIONS)
    steps = [
        (customer, START + step * HOUR, step, f"mark {step}") for step in range(GENERATIONS) for customer in range(CUSTOMERS)
    ]
    customer, at, step, mark = zip(*steps, strict=True)
    times = pa.array(at).cast(pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"customer": customer, "at": times, "step": step, "mark": mark}), root / "data" / "steps.parquet")
    return Project(root)


def test_every_moment_the_code_names_is_tested() -> None:
    named = {f"materialize.{moment}" for moments in (*OLD_STANDS.values(), NEW_STANDS) for moment in moments}
    assert named == fail_points("materialize")
    assert set(UPKEEP) == {*fail_points("rollback"), *fail_points("gc"), *fail_points("forget")} - {FORGET_IN_LOG}


@pytest.mark.parametrize("way", OLD_STANDS)
def test_killed_at_every_named_moment_the_old_generation_stands_and_the_next_run_goes_on(project: Project, way: str) -> None:
    for moment in OLD_STANDS[way]:
        old = project.reached
        code = run(materialize, project.root, old + 1, way, fail_at=f"materialize.{moment}")
        assert code == KILLED, f"{moment} is never reached"
        project.check(newest=old, history=old)
        reports = materialize(project.root, old + 1, way)
        assert [report.how.replace("new table", FULL) for report in reports] == [way, way]
        assert (reports[0].keys_resumed > 0) == (moment in TAKEN_UP[way]), moment
        project.check(newest=old + 1, history=old + 1)
        as_never_disturbed(project)
    for moment in NEW_STANDS:  # reached when the first view has switched; the second one has not begun
        old = project.reached
        assert run(materialize, project.root, old + 1, way, fail_at=f"materialize.{moment}") == KILLED
        project.check(newest=old, history=old + 1)
        materialize(project.root, old + 1, way)
        project.check(newest=old + 1, history=old + 1)
    finished(project)


@pytest.mark.parametrize("wanted", [6, pytest.param(RANDOM_KILLS, marks=pytest.mark.slow)])
def test_killed_at_any_moment_the_old_generation_stands_or_the_new_one(project: Project, wanted: int) -> None:
    ways = list(OLD_STANDS)

    def attempt(moment: float) -> int:
        old = project.standing()
        new = min(old.values()) + 1
        code = run(materialize, project.root, new, ways[new % 3], after=moment)
        stands = project.standing()
        assert all(stands[view] in (old[view], new) for view in VIEWS), (old, stands)
        return code

    kill_at_random(Random(5), wanted, attempt)
    finished(project)


def rollback(root: Path) -> None:
    FeatureStore(root).rollback("newest")


def gc(root: Path) -> None:
    FeatureStore(root).gc()


def forget(root: Path) -> None:
    FeatureStore(root).forget("customer", CUSTOMERS)


UPKEEP = {
    "rollback.turned": (rollback, 1), "rollback.done": (rollback, 0), "gc.forgotten": (gc, 1), "gc.done": (gc, 1),
    "forget.removed": (forget, 1), "forget.done": (forget, 1),
}  # fmt: skip
"""Moment -> the work, and the generation that the view then stands at."""


@pytest.mark.parametrize("moment", UPKEEP)
@pytest.mark.parametrize("way", OLD_STANDS)
def test_killed_while_the_store_is_put_in_order_it_stands_as_it_was_or_as_asked(tmp_path: Path, moment: str, way: str) -> None:
    project = new_project(tmp_path / "project")
    materialize(project.root, 0, FULL)
    materialize(project.root, 1, way)
    work, expected = UPKEEP[moment]
    assert run(work, project.root, fail_at=moment) == KILLED
    project.check(newest=expected, history=1)
    finished(project)


def finished(project: Project) -> None:
    """The next run needs no repair, and ends in the store that a run which nobody disturbed ever would have made."""
    generation = max(project.standing().values()) + 1
    materialize(project.root, generation, IN_PLACE)
    project.check(newest=generation, history=generation)
    store = FeatureStore(project.root)
    assert {report.mode for report in store.materialize(known_before=watermark(generation - 1))} == {"nothing"}
    project.check(newest=generation, history=generation)
    as_never_disturbed(project)
    assert sorted(os.listdir(project.root / ".featurestore" / "online")) == ["data.mdb", "lock.mdb", "materialize.lock"]
    store.online.close()


def as_never_disturbed(project: Project) -> None:
    """Every record is, byte for byte, that of a store made at once, and no table is there that nobody names."""
    folder = project.root.with_name("fresh")
    fresh = new_project(folder)
    materialize(fresh.root, project.reached, IN_PLACE)
    assert records(project.root) == records(fresh.root)
    shutil.rmtree(folder)
    store = FeatureStore(project.root)
    with store.online.read() as snapshot:
        live = generations(snapshot)
        kept = [one for made in live for one in kept_generations(snapshot, made)]
        assert all_running(snapshot) == []
    beside = {"total", past.TABLE, catalogue.TABLE}
    assert set(store.online.sizes()) - beside == {one.undo or one.table for one in kept} | {one.table for one in live}
    store.online.close()


def records(root: Path) -> dict[str, list[tuple[bytes, bytes]]]:
    """Every record that is served, by view."""
    store = FeatureStore(root)
    with store.online.read() as snapshot:
        rows = {made.name: list(snapshot.scan(made.table)) for made in generations(snapshot)}
    store.online.close()
    assert len(rows) == len(VIEWS)
    return rows


def materialize_on_a_full_disk(root: Path, limit: int, told: Path) -> None:
    """No file may grow beyond `limit` bytes: what a full disk does, to one process."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        materialize(root, 2, FULL)
    except FeatureStoreError as error:
        told.write_text(error.code)


def test_a_full_disk_is_an_error_that_changes_nothing(project: Project, tmp_path: Path) -> None:
    limit = (project.root / ".featurestore" / "online" / "data.mdb").stat().st_size
    assert run(materialize_on_a_full_disk, project.root, limit, tmp_path / "told") == 0
    assert (tmp_path / "told").read_text() == "FS405"
    project.check(newest=0, history=0)
    finished(project)


def test_what_killed_runs_left_in_the_temporary_folder_is_swept(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    assert run(materialize, project.root, 0, FULL, fail_at="materialize.computed") == KILLED
    materialize(project.root, 0, FULL)
    assert list((project.root / ".featurestore" / "tmp").iterdir()) == []
