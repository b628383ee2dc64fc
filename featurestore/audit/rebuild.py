"""Build a training set again from its manifest, from exactly the files it was built from, and say what is not as it was.

Decides what is compared with what, and where the set goes. Nothing is built from a source, push log or spine that is another:
its rows are then unknown. A definition or version that is another is built with, and the bytes tell. What is as it was is the
business of `inputs`, building that of `retrieval.build`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featurestore.audit.change import Change, Document
from featurestore.audit.diff import TAMPERED, Difference, diff
from featurestore.audit.inputs import Inputs, Project
from featurestore.engines.duckdb import Settings, scratch_folder
from featurestore.errors import DataError, FeatureStoreError, UsageError
from featurestore.intervals import parse_formatted
from featurestore.progress import Watcher
from featurestore.retrieval import build
from featurestore.retrieval import output as files
from featurestore.retrieval.manifest import Recorded, read
from featurestore.retrieval.splits import Split
from featurestore.sources import folders


@dataclass
class Rebuilt:
    """What became of a rebuild. output: where the set was written, if it was kept.

    bytes, content: whether what was built is what the manifest says, None if nothing was built. changed: what is not as it was.
    notes: what is no change, and good to know. differences: cells, where the bytes differ and the set as it was is there.
    """

    manifest: Path
    output: Path | None = None
    bytes: bool | None = None
    content: bool | None = None
    changed: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: Difference | None = None
    described: Document | None = None
    by_content: bool = False

    @property
    def same(self) -> bool:
        """The bytes are the same (by_content: every cell is, of a set that another engine wrote), and those of the set beside
        the manifest too, if there is one."""
        found = self.content if self.by_content else self.bytes
        return found is True and not any(change.what == "output" for change in self.changed)

    def to_dict(self) -> dict[str, Any]:
        return {
            "same": self.same,
            "bytes": self.bytes,
            "content": self.content,
            "manifest": str(self.manifest),
            "output": None if self.output is None else str(self.output),
            "changed": [change.to_dict() for change in self.changed],
            "notes": self.notes,
            "differences": None if self.differences is None else self.differences.to_dict(),
        }


def rebuild(
    project: Project, given: Path, *, output: Path | None = None, spine: Path | None = None, verify: bool = False,
    watch: Watcher | None = None,
) -> Rebuilt:  # fmt: skip
    """Build the set of a manifest anew.

    Args: given: the manifest, or the training set it lies beside. output: where to write; else in place of the set that is
        gone. spine: where the spine lies now. verify: compare with the manifest, keep nothing unless `output` is given.
    Raises: DataError FS361 (the manifest), FS363 (not to be built as it was, unless `verify`), UsageError FS151 (another file
        stands there) and what a build raises; nothing is then written.
    """
    recorded = read(given)
    done = Rebuilt(recorded.file)
    target = output or (None if verify else recorded.output)
    if target is not None:
        _check_target(target, recorded)
    found = Inputs(project, recorded, spine)
    done.changed, done.notes = found.changed, found.notes
    if not found.whole:
        _check_output(done, recorded)
        if not verify:
            raise DataError("FS363", _why_not(done), where=recorded.file.name, hint="put it back as it was")
        return done
    with _aside(project.settings) as folder:
        built = folder / (target or recorded.output).name
        try:
            done.described = _build(project, recorded, found, built, watch)
        except (DataError, UsageError) as error:
            if not verify or not done.changed:
                raise
            done.notes.append(f"what is another now cannot be built with: {error}")
            return done
        _judge(done, recorded, built)
        if target is not None:
            _keep(done, recorded, built, target)
    return done


def _why_not(done: Rebuilt) -> str:
    return f"the set cannot be built as it was: {_told(done.changed)}"


def _told(changed: Sequence[Change]) -> str:
    return "; ".join(map(str, changed)) or "nothing that is recorded has changed"


def _build(project: Project, recorded: Recorded, found: Inputs, output: Path, watch: Watcher | None) -> Document:
    """Build as it was asked; the new manifest."""
    assert found.service is not None
    said = recorded.document
    request = build.request(
        engine="duckdb", as_of=said["as_of"]["column"], timezone=said["as_of"]["timezone"],
        as_of_format=said["as_of"].get("format"), serving_lag=said["serving_lag_us"], include=tuple(said["include"]),
        known_before=None if said["known_before"] is None else parse_formatted(said["known_before"]),
        label=None if said["label"] is None else said["label"]["column"],
        split=None if said.get("split") is None else Split.from_manifest(said["split"]["asked"]),
    )  # fmt: skip
    done = build.run(
        found.service, found.spine, sources=lambda source: found.data[source.name], settings=project.settings,
        identities=found.identities, request=request, output=output, folder=project.folder, watch=watch,
        profile="profile" in said,
    )  # fmt: skip
    assert done.manifest is not None
    return done.manifest


# What was built.


def _judge(done: Rebuilt, recorded: Recorded, built: Path) -> None:
    """Compare what was built with what the manifest says, and with the set beside it."""
    assert done.described is not None
    said, now = recorded.document, done.described
    done.bytes = now["output"]["sha256"] == said["output"]["sha256"]
    done.content = now["content_hash"] == said["content_hash"]
    done.by_content = now["engine"] != said.get("engine", now["engine"])
    _check_output(done, recorded)
    if not done.bytes:
        done.notes += _other_plans(said, now)
    tampered = any(change.what == "output" for change in done.changed)
    if done.bytes and not tampered:
        return
    if done.content and not tampered:
        done.notes.append("other bytes, same content: every cell is as it was")
    elif folders.is_there(recorded.output):
        done.differences = _compared(recorded.output, built)
    else:
        done.notes.append(f"{recorded.output.name} is not there, so cells cannot be compared")


def _other_plans(was: Document, now: Document) -> Iterator[str]:
    """Variances are the same to the last place by one plan of windows only (contract, section 5)."""
    for view, parts in was.get("windows", {}).items():
        plans = [{o: part["plan"] for part in side for o in part["outputs"]} for side in (parts, now["windows"].get(view, ()))]
        if any(plans[0][output] != plan for output, plan in plans[1].items() if output in plans[0]):
            yield f"windows of {view} were computed by another plan: variances and deviations may differ in their last places"


def _check_output(done: Rebuilt, recorded: Recorded) -> None:
    said = recorded.document["output"]["sha256"]
    if not folders.is_there(recorded.output):
        return
    found = folders.identity(recorded.output)
    if found != said:
        done.changed.append(Change("output", recorded.output.name, TAMPERED, said, found))


def _compared(was: Path, built: Path) -> Difference | None:
    """None for a file so changed that it cannot be read."""
    try:
        return diff(was, built)
    except FeatureStoreError:
        return None


# Where it goes.


def _check_target(target: Path, recorded: Recorded) -> None:
    files.check_output(target)
    if target.suffix.lower() != Path(recorded.document["output"]["name"]).suffix.lower():
        what = f"the manifest is that of {recorded.document['output']['name']}, and its bytes are those of another kind"
        raise UsageError("FS151", what, where=str(target), hint=f"a {Path(recorded.document['output']['name']).suffix} output")


@contextmanager
def _aside(settings: Settings) -> Iterator[Path]:
    """A folder for what is built before it is known whether it is kept; of a killed rebuild the next session sweeps it."""
    folder = scratch_folder(settings)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(done: Rebuilt, recorded: Recorded, built: Path, target: Path) -> None:
    """Give what was built its name, unless another file has it. Raises: UsageError FS151."""
    assert done.described is not None
    now = done.described["output"]["sha256"]
    if target.exists():
        if folders.identity(target) != now:
            what = f"{target.name} is there, and other bytes than were built now: it is left as it is"
            raise UsageError("FS151", what, where=str(target), hint="--output with another name, or --verify")
        done.notes.append(f"{target.name} is there already, with the same bytes")
    else:
        manifest_is_there = files.manifest_path(target).exists()
        if manifest_is_there and not done.bytes:
            what = f"other bytes than {files.manifest_path(target).name} says ({_told(done.changed)}): nothing was written"
            raise UsageError("FS151", what, where=str(target), hint="--output with another name keeps it beside the manifest")
        described = recorded.document if done.bytes else done.described
        files.adopt(built, {**described, "output": {**done.described["output"], "name": target.name}}, target)
    done.output = target


__all__ = ["Project", "Rebuilt", "rebuild"]
