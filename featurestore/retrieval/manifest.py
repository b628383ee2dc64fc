"""What the manifest of a training set holds so that the set can be made again, and how it is read back.

Decides in which form definitions are recorded, where a spine is looked for, and which manifests are understood. Writing a
set and its manifest is the business of `output`; whether two manifests mean the same is that of `audit.changes`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurestore.errors import DataError
from featurestore.registry import BoundFacts, BoundService, fingerprint
from featurestore.retrieval.output import MANIFEST_FORMAT, manifest_of, manifest_path
from featurestore.sources import folders

SUFFIX = ".manifest.json"


def definitions(service: BoundService) -> dict[str, Any]:
    """All that the service's columns mean, as data: by it a definition that has changed can be named. No description, owner,
    tag, or path of a source. fingerprint: of the rest, by which it is known to be as it was written."""
    meanings = {
        "service": {**service.to_manifest(), "labels": service.labels_to_manifest()},
        "views": {i.bound.name: _meaning(i.bound) for i in service.instances},
        "labels": {i.bound.name: _meaning(i.bound) for i in service.labels},
        "on_demand_views": {o.instance.view.name: _of_names(o.meaning()) for o in service.on_demand},
    }
    return {"fingerprint": fingerprint(meanings), **meanings}


def _meaning(bound: BoundFacts) -> dict[str, Any]:
    meaning = bound.meaning()
    return {**meaning, "source": {"name": bound.view.source.name, **meaning["source"]}}


def _of_names(meaning: Mapping[str, Any]) -> dict[str, Any]:
    """Of the inputs only what is taken of them: what they mean stands with the views."""
    inputs = [{name: value for name, value in given.items() if name != "fingerprint"} for given in meaning["inputs"]]
    return {**meaning, "inputs": inputs}


def versions() -> dict[str, str]:
    """Of what a training set's bytes may depend on."""
    from importlib.metadata import version

    own = sys.modules["featurestore"].__version__  # loaded, as it is the package of this file
    return {**{name: version(name) for name in ("duckdb", "pyarrow")}, "featurestore": own}


def relative(path: Path, folder: Path) -> str | None:
    """A path below a folder, from there, with forward slashes and its links; None for one that lies elsewhere."""
    for place, base in ((Path(os.path.abspath(path)), folder), (path.resolve(), folder.resolve())):
        if place.is_relative_to(base):
            return place.relative_to(base).as_posix()
    return None


@dataclass(frozen=True)
class Recorded:
    """A manifest that was read. file: where it lies. output: where its training set lies, or lay."""

    document: Mapping[str, Any]
    file: Path
    output: Path

    def spine_places(self, folder: Path) -> list[Path]:
        """Where its spine is looked for, the likelier first: in the project folder, then beside the manifest."""
        spine = self.document["spine"]
        inside = [folder / spine["path"]] if "path" in spine else []
        return [*inside, self.file.parent / spine["name"]] if "name" in spine else inside


def read(given: Path) -> Recorded:
    """The manifest at that path, or that of the training set there. Raises: DataError FS361."""
    if not folders.is_there(given):
        raise DataError("FS361", f"no file {given.name!r}", where=str(given), hint="a training set, or its manifest")
    if given.suffix.lower() == ".json":
        document = _loaded(given)
        named = given.with_name(given.name.removesuffix(SUFFIX))
        output = named if named != given and folders.is_there(named) else given.with_name(document["output"]["name"])
        return Recorded(document, given, output)
    file = manifest_path(given)
    between = manifest_of(given) if not file.is_file() else None  # its writer died before the manifest had its name
    if between is None and not file.is_file():
        what = f"{given.name} has no manifest beside it"
        raise DataError("FS361", what, where=str(file), hint="copy the manifest with the training set")
    return Recorded(_checked(between, file) if between is not None else _loaded(file), file, given)


def _loaded(file: Path) -> Mapping[str, Any]:
    try:
        return _checked(json.loads(file.read_text(encoding="utf-8")), file)
    except (ValueError, OSError) as error:
        raise DataError("FS361", "the manifest cannot be read as JSON", where=file.name, hint="build the set again") from error


def _checked(document: Any, file: Path) -> Mapping[str, Any]:
    """Raises: DataError FS361 for a document that is no manifest of a training set, or one of a newer format."""
    if not isinstance(document, dict) or document.get("kind") != "training_set" or not isinstance(document.get("format"), int):
        raise DataError("FS361", "this is no manifest of a training set", where=file.name, hint="OUTPUT.manifest.json")
    if document["format"] > MANIFEST_FORMAT:
        what = f"the manifest has format {document['format']}, this featurestore reads up to format {MANIFEST_FORMAT}"
        raise DataError("FS361", what, where=file.name, hint="a newer featurestore")
    for name, fits in _PARTS.items():
        understood = fits(document[name]) if name in document else name in _SINCE_2
        if not understood:
            what = f"the manifest's {name!r} is missing or not what a build writes"
            raise DataError("FS361", what, where=file.name, hint="build the set again")
    return document


def _texts(*names: str) -> Callable[[Any], bool]:
    return lambda part: isinstance(part, dict) and all(isinstance(part.get(name), str) for name in names)


def _is_state(state: Any) -> bool:
    if state == "memory":
        return True
    return isinstance(state, list) and all(isinstance(e, dict) and _is_entry(e) for e in state)


def _is_entry(entry: Mapping[str, Any]) -> bool:
    if "push_log" in entry:
        return isinstance(entry.get("log"), str) and isinstance(entry.get("position"), int)
    if "path" not in entry:  # what pins a table, or names rows that are in no file
        return bool(entry)
    return (_texts("path", "sha256")(entry) or _texts("path", "etag")(entry)) and isinstance(entry.get("size"), int)


def _is_spine(part: Any) -> bool:
    if not _texts("kind", "sha256")(part) or not isinstance(part.get("path", ""), str):
        return False
    return part["kind"] == "memory" or isinstance(part.get("name"), str)


def _is_as_written(definitions: Any) -> bool:
    if not isinstance(definitions, dict):
        return False
    return bool(definitions.get("fingerprint") == fingerprint({n: v for n, v in definitions.items() if n != "fingerprint"}))


def _is_columns(part: Any) -> bool:
    pairs = isinstance(part, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in part)
    return pairs and all(isinstance(text, str) for pair in part for text in pair)


_PARTS: Mapping[str, Callable[[Any], bool]] = {
    "service": lambda part: isinstance(part, str),
    "versions": lambda part: isinstance(part, dict),
    "view_fingerprints": lambda part: isinstance(part, dict),
    "definitions": lambda part: _is_as_written(part),
    "sources": lambda part: isinstance(part, dict) and all(map(_is_state, part.values())),
    "spine": lambda part: _is_spine(part),
    "as_of": _texts("column", "timezone"),
    "known_before": lambda part: part is None or isinstance(part, str),
    "serving_lag_us": lambda part: isinstance(part, int) and part >= 0,
    "include": lambda part: isinstance(part, list) and all(isinstance(name, str) for name in part),
    "label": lambda part: part is None or _texts("column")(part),
    "split": lambda part: part is None or (isinstance(part, dict) and isinstance(part.get("asked"), dict)),
    "columns": _is_columns,
    "features": lambda part: isinstance(part, dict) and bool(part),
    "content_hash": lambda part: isinstance(part, str),
    "rows": lambda part: isinstance(part, int),
    "output": _texts("name", "sha256"),
}
"""What is read of a manifest, and whether a part is what a build writes."""
_SINCE_2 = ("definitions", "split")
"""Parts that manifests of format 1 do not have."""
