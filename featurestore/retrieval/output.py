"""Write a training set, its manifest and its profile: aside first, then all take their names.

A training set is a file, or a folder of Parquet files. Its own rename is the moment of commit. Its manifest, complete before
that moment, follows; should the process die between the two, the next start (or `manifest_of`) finds the manifest aside, which
names the set's sha256. So does the profile, if there is one, which the manifest names by its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from glob import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import atomic
from featurestore.errors import StoreError, UsageError
from featurestore.failpoints import reach
from featurestore.profiles import SUFFIX as PROFILE
from featurestore.sources import folders

MANIFEST_FORMAT = 2
_SUFFIXES = (".parquet", ".csv")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""A URL, as a path has it."""


def manifest_path(output: Path) -> Path:
    return output.with_name(output.name + ".manifest.json")


def profile_path(output: Path) -> Path:
    return output.with_name(output.name + PROFILE)


WriteProfile = Callable[[Path], bool]
"""Writes a profile to a path; False if there is none."""


def check_output(output: Path) -> None:
    """Raises: UsageError FS106 for an unknown suffix, a missing folder, or a URL; StoreError FS407 for somebody's folder."""
    if scheme := _URL.match(str(output)):
        what = f"a training set is written to a disk, not to {scheme[1]}://"
        raise UsageError("FS106", what, hint="a path, and a copy of the set and its manifest")
    if output.suffix.lower() not in _SUFFIXES:
        raise UsageError("FS106", f"unknown kind of output {output.name!r}", known=_SUFFIXES, hint=f"{output.name}.parquet")
    if not output.parent.is_dir():
        raise UsageError("FS106", f"no folder {str(output.parent)!r} to write to", hint=f"mkdir -p {output.parent}")
    _check_replaceable(output)


def _check_replaceable(output: Path) -> None:
    """A folder is written over only where it is a training set, of as many files and bytes as its manifest says, and holds
    nothing else. Raises: StoreError FS407."""
    if not output.is_dir():
        return
    files, size = folders.files(output), folders.size(output)
    told = [(note["output"].get("files"), note["output"].get("size")) for note in _notes(output)]
    if set(output.iterdir()) != set(files) or (len(files), size) not in told:
        what = "it is a folder, and no training set that was built here: it is not written over"
        raise StoreError("FS407", what, where=output.name, hint="another name")


def write(
    output: Path, schema: pa.Schema, tables: Iterable[pa.Table], describe: Any, profile: WriteProfile | None = None
) -> dict[str, Any]:
    """Write tables to `output` (.parquet, or .csv) and beside it the manifest that `describe()` gives at the end.

    Returns: the manifest. Raises: StoreError FS405, FS407; on any error nothing under any name has changed.
    """
    return _write(output, lambda data: _write_tables(data, output.suffix.lower(), schema, tables), describe, profile)


def write_folder(
    output: Path, make: Callable[[Path], None], describe: Callable[[], dict[str, Any]], profile: WriteProfile | None = None
) -> dict[str, Any]:
    """As `write`, of a folder: `make` fills an empty one aside, with files whose order by name is that of the rows, and forces
    each to the disk."""

    def fill(data: Path) -> None:
        data.mkdir()
        make(data)

    return _write(output, fill, describe, profile)


def _write(output: Path, make: Callable[[Path], None], describe: Any, profile: WriteProfile | None) -> dict[str, Any]:
    recover(output)
    reach("build.recovered")
    data, note, seen = map(atomic.aside, (output, manifest_path(output), profile_path(output)))
    with atomic.disk_errors(output), atomic.removed_on_error(data), _kept_once_renamed(data, note, seen):
        make(data)
        reach("build.written")
        manifest = {**describe(), "output": _identity(data, output)}
        if profile is not None and profile(seen):
            manifest["profile"] = {"sha256": folders.identity(seen)}
        reach("build.profiled")
        _switch(data, output, note, manifest)
    return manifest


def _identity(data: Path, output: Path) -> dict[str, Any]:
    """What a manifest says of the training set's bytes; of a folder also how many files it has."""
    said = {"name": output.name, "size": folders.size(data), "sha256": folders.identity(data)}
    return {**said, "files": len(folders.files(data))} if data.is_dir() else said


def adopt(built: Path, manifest: Mapping[str, Any], output: Path) -> None:
    """Give a copy of a finished training set, its manifest, and its profile if the manifest names one, the names of `output`,
    as `write` does. Raises: StoreError."""
    recover(output)
    data, note, seen = map(atomic.aside, (output, manifest_path(output), profile_path(output)))
    with atomic.disk_errors(output), atomic.removed_on_error(data), _kept_once_renamed(data, note, seen):
        shutil.copyfile(built, data)
        reach("adopt.copied")
        manifest = dict(manifest)
        if manifest.pop("profile", None) and profile_path(built).is_file():
            shutil.copyfile(profile_path(built), seen)
            manifest["profile"] = {"sha256": folders.identity(seen)}
        _switch(data, output, note, manifest)


def _switch(data: Path, output: Path, note: Path, manifest: Mapping[str, Any]) -> None:
    """All take their names. Manifest and profile are complete on the disk before the training set's rename, the moment of
    commit."""
    seen = atomic.aside(profile_path(output))
    if "profile" in manifest:
        atomic.sync(seen)
    note.write_text(dumps(manifest), encoding="utf-8")
    atomic.sync(note)
    reach("build.described")
    _check_replaceable(output)
    atomic.take_name(data, output)
    reach("build.renamed")
    atomic.commit(note, manifest_path(output))
    reach("build.noted")
    if "profile" in manifest:
        atomic.commit(seen, profile_path(output))
    else:
        profile_path(output).unlink(missing_ok=True)
    reach("build.done")


@contextlib.contextmanager
def _kept_once_renamed(data: Path, *beside: Path) -> Iterator[None]:
    """On an error what is aside beside the training set goes, unless that already has its name: then it is of it."""
    try:
        yield
    except BaseException:
        renamed = not data.exists() and any(path.exists() for path in beside)
        for path in () if renamed else beside:
            path.unlink(missing_ok=True)
        raise


def _write_tables(path: Path, suffix: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    from pyarrow import csv

    _check_types(suffix, schema)
    if suffix == ".csv":
        with csv.CSVWriter(str(path), _csv_schema(schema)) as writer:
            for number, table in enumerate(tables):
                writer.write_table(table.cast(_csv_schema(schema)))
                reach(f"build.batch{number}")
        return
    write_parquet(path, schema, tables)


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """A row group for each table."""
    with parquet_writer(path, schema) as writer:
        for number, table in enumerate(_ahead(tables)):
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            reach(f"build.batch{number}")


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """What writes the Parquet of training sets."""
    repeating = [f.name for f in schema if _repeats(f.type)]  # dictionaries of numbers cost time and save nothing
    return pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=repeating)


def _repeats(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()) or pa.types.is_dictionary(kind)


def _ahead(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same tables, the next one made by a thread while this one is written.

    The first is made right here: the engine's work comes before it, and can be interrupted in the calling thread only.
    """
    stream = iter(tables)
    table = next(stream, None)
    with ThreadPoolExecutor(1, "build") as pool:
        while table is not None:
            coming = pool.submit(next, stream, None)
            yield table
            table = coming.result()


def _csv_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([(f.name, _csv_type(f.type)) for f in schema])


def _csv_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _csv_type(kind.value_type)
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return views.get(kind, kind)


def _check_types(suffix: str, schema: pa.Schema) -> None:
    """Which types a file can hold is its writer's knowledge: ask it, with one NULL, before any work."""
    from pyarrow import csv

    first: dict[pa.DataType, pa.Field] = {}
    for field in schema:
        first.setdefault(field.type, field)
    for field in first.values():
        try:
            one = pa.table({"x": pa.nulls(1, field.type)})
            if suffix == ".csv":
                csv.write_csv(one.cast(_csv_schema(one.schema)), pa.BufferOutputStream())
            else:
                pq.write_table(one, pa.BufferOutputStream())
        except pa.ArrowException as error:
            what = f"column {field.name!r} is {field.type}, which a {suffix} file cannot hold"
            hint = "a .parquet output" if suffix == ".csv" else "another type, or leave it out of the spine"
            raise UsageError("FS106", what, hint=hint) from error


def recover(output: Path) -> None:
    """Finish or sweep what a killed build left: a manifest whose training set stands gets its name, the rest goes."""
    manifest_file = manifest_path(output)
    atomic.restore(output)
    for note in atomic.leftovers(manifest_file):
        reach("build.recovering")
        if folders.is_there(output) and _describes(note, output):
            atomic.commit(note, manifest_file)
        else:
            note.unlink(missing_ok=True)
    _recover_profile(output)
    atomic.sweep(output)


def _recover_profile(output: Path) -> None:
    """A profile aside gets its name if the manifest names it; one of another training set goes."""
    left = atomic.leftovers(profile_path(output))
    if not left:
        return
    named = ((_manifest_now(output) or {}).get("profile") or {}).get("sha256")
    for seen in left:
        if folders.identity(seen) == named:
            atomic.commit(seen, profile_path(output))
        else:
            seen.unlink(missing_ok=True)


def profile_of(output: Path) -> Path | None:
    """Where the profile of the training set under this name lies, by its manifest; None where it has none."""
    named = ((manifest_of(output) or {}).get("profile") or {}).get("sha256")
    path = profile_path(output)
    places = [path, *sorted(path.parent.glob(f".{escape(path.name)}.*.partial"))]
    for place in places if named else []:
        with contextlib.suppress(FileNotFoundError):
            if folders.identity(place) == named:
                return place
    return None


def manifest_of(output: Path) -> dict[str, Any] | None:
    """The manifest of the training set that stands under this name, also between its rename and the manifest's.

    Looks again while a build switches under its eyes; None when what stands has no manifest.
    """
    while True:
        before = _mark(output)
        manifest = _manifest_now(output)
        if manifest is not None or before == _mark(output):
            return manifest


def _mark(output: Path) -> tuple[object, ...]:
    """What changes when a build gives names: the file's and its manifest's inode and time."""
    stats = []
    for path in (output, manifest_path(output)):
        try:
            stat = path.stat()
            stats.append((stat.st_ino, stat.st_mtime_ns))
        except FileNotFoundError:
            stats.append((0, 0))
    return tuple(stats)


def _manifest_now(output: Path) -> dict[str, Any] | None:
    return next((document for document in _notes(output) if _is_of(document, output)), None)


def _notes(output: Path) -> Iterator[dict[str, Any]]:
    """What may be the manifest of a training set: what has the name, and what is to get it."""
    manifest_file = manifest_path(output)
    for candidate in (manifest_file, *manifest_file.parent.glob(f".{escape(manifest_file.name)}.*.partial")):
        try:
            document = json.loads(candidate.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue
        if isinstance(document, dict) and isinstance(document.get("output"), dict):
            yield document


def _describes(note: Path, output: Path) -> bool:
    try:
        return _is_of(json.loads(note.read_text(encoding="utf-8")), output)
    except (ValueError, OSError):
        return False


def _is_of(manifest: Mapping[str, Any], output: Path) -> bool:
    try:
        described = manifest["output"]
        return bool(described["size"] == folders.size(output) and described["sha256"] == folders.identity(output))
    except (ValueError, KeyError, TypeError, OSError):
        return False


def dumps(document: Mapping[str, Any]) -> str:
    """JSON for people and diffs: indented, keys in the order given, unicode as it is."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
