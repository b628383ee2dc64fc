"""Fold a push log into Parquet: the same rows, positions and arrivals, in files that engines read by themselves.

log.json switches from segments to Parquet in one step: until then the segments count and the Parquet file does not,
from then on the other way round. Killed anywhere, what counts is complete; the next compaction sweeps what does not.
A compaction never rewrites an earlier one's files, so that whoever reads them is not disturbed; only forgetting does.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore import atomic
from featurestore.errors import StoreLocked
from featurestore.failpoints import reach
from featurestore.sources import push_log as log
from featurestore.sources import push_segments as segments
from featurestore.sources.push_segments import Header


@dataclass(frozen=True)
class Folded:
    """What a compaction did: rows folded now, files written now; up to which position all rows are in Parquet."""

    rows: int
    files: int
    position: int


def compact(folder: Path) -> Folded:
    """Fold every row pushed so far. Pushes go on meanwhile.

    Raises: StoreLocked FS442 while another compaction runs; StoreError FS405, FS407, FS440, FS441.
    """
    if not (folder / "log.json").is_file():
        return Folded(0, 0, 0)
    with atomic.disk_errors(folder), _alone(folder):
        with log.locked(folder):
            state = log.read_state(folder)
            if state is None:
                return Folded(0, 0, 0)
            _sweep(folder, state)
            closed = _closed(folder)
        reach("compact.closed")
        files = _written(folder, closed)
        reach("compact.written")
        if not files:
            return Folded(0, 0, state.folded)
        new = replace(state, folded=files[-1].last, files=(*state.files, *files))
        with log.locked(folder):
            log.write_state(folder, new)
            reach("compact.switched")
            _sweep(folder, new)
    reach("compact.done")
    return Folded(files[-1].last - state.folded, len(files), new.folded)


def without(folder: Path, chosen: Callable[[pa.Table], pa.Array]) -> int:
    """Take rows out of the log for good: fold all of it, then write files that hold such rows anew without them.

    The other rows keep their positions and arrivals; to readers it is another log. chosen: which rows of a table, as
    booleans. Returns: how many are gone.

    Whoever is reading such a file meanwhile may find it gone. Raises: what `compact` raises.
    """
    if not compact(folder).position:
        return 0
    with atomic.disk_errors(folder), _alone(folder):
        state = log.read_state(folder)
        assert state is not None
        gone, files = 0, []
        for file in state.files:
            table = pq.read_table(file.path)
            mask = chosen(table)
            rows = pc.sum(mask).as_py() or 0
            files.append(_rewritten(file, table.filter(pc.invert(mask))) if rows else file)
            gone += rows
        reach("forget.log_written")
        if gone:
            new = replace(state, files=tuple(files), forgotten=state.forgotten + 1)
            with log.locked(folder):
                log.write_state(folder, new)
                _sweep(folder, new)
    return gone


def _rewritten(file: log.Compacted, table: pa.Table) -> log.Compacted:
    """The file of the same positions under another name."""
    stem, _, number = file.path.stem.partition(".")
    path = file.path.with_name(f"{stem}.{int(number or 0) + 1}.parquet")
    aside = atomic.aside(path)
    with atomic.removed_on_error(aside):
        pq.write_table(table, aside, compression="zstd", write_page_checksum=True)
        atomic.commit(aside, path)
    return log.Compacted(path, file.first, file.last)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The right to compact: one holder. It holds up neither pushes nor readers."""
    handle = os.open(folder / "compact.lock", os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = f"another process is compacting the push log of {folder.name!r}"
            raise StoreLocked("FS442", what, hint="wait for it") from None
        yield
    finally:
        os.close(handle)


def _sweep(folder: Path, state: log.State) -> None:
    """Remove what does not count: segments whose rows lie in Parquet, Parquet that was never switched to."""
    for path in log.segment_paths(folder):
        if log.first_of(path) <= state.folded:
            path.unlink(missing_ok=True)
    counting = {file.path.name for file in state.files}
    if (folder / "compacted").is_dir():
        for entry in list((folder / "compacted").iterdir()):
            if entry.name not in counting:
                entry.unlink(missing_ok=True)
    for left in (*(folder / "segments").glob(".*.partial"), *atomic.leftovers(folder / "log.json")):
        left.unlink(missing_ok=True)  # under the lock nobody else is writing one


def _closed(folder: Path) -> list[Path]:
    """The segments that hold rows, with a new one behind them: nothing is added to them any more."""
    tail = log.open_tail(folder)
    if tail.size and tail.position >= tail.header.first:
        log.roll(folder, tail, tail.header.schema, tail.header.created)
    return log.segment_paths(folder)[:-1]


def _written(folder: Path, closed: Sequence[Path]) -> list[log.Compacted]:
    """Parquet files with the rows of segments, one for as many as have the same columns."""
    files: list[log.Compacted] = []
    for group in _alike(closed):
        first = log.first_of(group[0])
        (folder / "compacted").mkdir(exist_ok=True)
        aside = atomic.aside(folder / "compacted" / f"{first:020d}")
        schema, rows = pa.schema([]), 0
        with atomic.removed_on_error(aside):
            writer = None
            for path in group:
                table = _table(path)
                schema = table.schema
                if writer is None:
                    writer = pq.ParquetWriter(aside, schema, compression="zstd", write_page_checksum=True)
                writer.write_table(table)
                rows += table.num_rows
            assert writer is not None
            writer.close()
            last = first + rows - 1
            path = folder / "compacted" / f"{first:020d}-{last:020d}.parquet"
            atomic.commit(aside, path)
        files.append(log.Compacted(path, first, last))
        reach("compact.file")
    if files:
        atomic.sync(folder)
    return files


def _alike(closed: Sequence[Path]) -> list[list[Path]]:
    groups: list[list[Path]] = []
    before: Header | None = None
    for path in closed:
        header, _ = Header.read(memoryview(path.read_bytes()), log.where_of(path))
        if before is not None and header.schema.equals(before.schema) and header.created == before.created:
            groups[-1].append(path)
        else:
            groups.append([path])
        before = header
    return groups


def _table(path: Path) -> pa.Table:
    data = memoryview(path.read_bytes())
    header, at = Header.read(data, log.where_of(path))
    return segments.decode(header, segments.frames(data, at, header.first, len(data), log.where_of(path)))
