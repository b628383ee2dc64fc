"""Answer the parts of a plan partition by partition, each kept in a file as soon as it is finished.

Which partitions there are decides memory and time. Values are those of the whole: a part's statement, its parameters and
the choice of its plan are the same for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from featurestore import plan as planning
from featurestore.compiler.duckdb.partitions import source_keys
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.duckdb.session import was_interrupted
from featurestore.errors import StoreError
from featurestore.failpoints import reach
from featurestore.plan.nodes import LabelOf, PartOf, TrainingSet, Window
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundService
from featurestore.retrieval.cuts import Cuts, digest
from featurestore.retrieval.merging import batch_rows, merged
from featurestore.retrieval.spine import Spine, content_identity
from featurestore.retrieval.work_folder import WorkFolder, sweep
from featurestore.retrieval.workers import Workers
from featurestore.sources import SourceData


@dataclass(frozen=True)
class Asked:
    """A statement of a part. whole: binds what it reads, uncut; spine: the part's spine."""

    part: PartOf | LabelOf
    stage: str
    sql: str
    parameters: Mapping[str, object]
    whole: Callable[[], None]
    spine: Callable[[], pa.Table]


class Partitioned:
    """The answers of a build that is cut into `number` partitions."""

    def __init__(self, workers: Workers, work: WorkFolder, cuts: Cuts, number: int, rows: int, watch: Watcher) -> None:
        self._workers, self._work, self._cuts = workers, work, cuts
        self._number, self._rows, self._watch = number, rows, watch

    def answer(self, asked: Asked) -> pa.RecordBatchReader:
        """The rows of a statement in spine order. Partitions that are finished are not computed again.

        A part without join keys has one key, and nothing to be cut by: it is one partition.
        """
        of = self._number if source_keys(asked.part.part) else 1
        answer = f"answer-{digest(asked.part.instance, asked.sql, sorted(asked.parameters.items()), of)}"
        names = [f"{answer}-{number}.arrow" for number in range(of)]
        left = [number for number, name in enumerate(names) if not self._work.has(name)]
        if left and of > 1:
            self._cuts.make(asked.part.part, asked.spine)
        self._watch(self._progress(asked, of - len(left), of))
        tasks = [partial(self._write, asked, names[number], number, of) for number in left]
        for done, _ in enumerate(self._workers.run(tasks), of - len(left) + 1):
            self._watch(self._progress(asked, done, of))
        return merged([self._work.path / name for name in names], self._rows)

    def _progress(self, asked: Asked, done: int, of: int) -> Progress:
        return Progress(asked.stage, self._rows * done // of, self._rows)

    def _write(self, asked: Asked, name: str, number: int, of: int, session: Session) -> None:
        if of == 1:
            asked.whole()
        else:
            self._cuts.bind(session, asked.part.part, number)
        windows = isinstance(asked.part.part, Window)
        stream = session.reader(asked.sql, asked.parameters, batch_rows(of), as_written=windows)
        with (
            self._work.making(name) as path,
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, stream.schema) as writer,
        ):
            for batch in stream:
                writer.write_batch(batch)
        reach(f"partition.done{number}")


@contextmanager
def work_folder(settings: Settings, session: Session, identity: str | None) -> Iterator[WorkFolder]:
    """Where a build works: where its like worked before, if it can be told, and a folder is set for temporary files.

    It stays when the build is stopped from outside (killed, interrupted, no room on the disk), and goes with any other end.
    """
    if settings.temp_directory is None or identity is None:
        work = WorkFolder.private(session.folder / "work")
    else:
        sweep(settings.temp_directory)
        work = WorkFolder.of(settings.temp_directory, identity, session.folder / "work")
    try:
        yield work
    except BaseException as error:
        if not _from_outside(error):
            work.discard()
        work.close()
        raise
    work.discard()


def _from_outside(error: BaseException) -> bool:
    """What stopped the build was not in its question: asked again it may succeed."""
    no_room = isinstance(error, StoreError) and error.code in ("FS405", "FS407")
    return no_room or isinstance(error, KeyboardInterrupt) or was_interrupted(error)


def identity(
    service: BoundService, plan: TrainingSet, spine: Spine, sources: Mapping[str, SourceData], request: Any, number: int
) -> str | None:
    """What decides the content of a build's partitions, in few letters; None where a source is a table in memory."""
    from importlib.metadata import version

    states = {}
    for name, data in sorted(sources.items()):
        if not data.look:
            return None
        states[name] = data.look
    asking = dict(spine.identity or {})
    if spine.table is not None and "sha256" not in asking:
        asking["sha256"] = content_identity(spine.table)
    versions = [version(name) for name in ("featurestore", "duckdb", "pyarrow")]
    meaning = [service.fingerprint, service.labels_to_manifest(), planning.explain(plan)]
    return digest(json.dumps([versions, meaning, asking, states, asdict(request), number], default=str))
