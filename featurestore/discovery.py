"""Load the definitions in a project's registry/ folder.

The folder is imported as a package under a private name made from its path, with or without __init__.py, sub-folders
included, so that its files may use relative imports and two projects in one process never mix. Collected are
definitions bound at module level, alone or inside lists, tuples and dicts. Nothing is executed but the user's own files.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from featurestore.definitions import Definition, ViewInstance
from featurestore.errors import DefinitionError, FeatureStoreError
from featurestore.registry import Registry


def load(folder: Path) -> Registry:
    """Import every .py file below `folder` afresh and collect its definitions.

    Raises: DefinitionError FS210 for a missing folder or a file that cannot be imported (its line is named), and
    whatever the definitions raise; FS209 for duplicate names.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise DefinitionError("FS210", "no registry folder", where=folder.name, hint="featurestore init DIR")
    package = "_featurestore_registry_" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    _forget(package)
    _make_packages(package, folder)
    definitions: list[Definition] = []
    try:
        for path in sorted(folder.rglob("*.py")):
            if any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts):
                continue
            definitions.extend(_collect(_import(package, path, folder)))
    finally:
        _forget(package)
    return Registry.of(definitions)


def _forget(package: str) -> None:
    for name in [n for n in sys.modules if n == package or n.startswith(package + ".")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def _make_packages(package: str, folder: Path) -> None:
    """Register the root as a namespace-like package; sub-folders without __init__.py become namespace packages."""
    module = ModuleType(package)
    module.__path__ = [str(folder)]
    module.__spec__ = importlib.machinery.ModuleSpec(package, None, is_package=True)
    module.__spec__.submodule_search_locations = [str(folder)]
    module.__package__ = package
    sys.modules[package] = module


def _import(package: str, path: Path, folder: Path) -> ModuleType:
    relative = path.relative_to(folder).with_suffix("")
    parts = [p for p in relative.parts if p != "__init__"]
    name = ".".join([package, *parts])
    if not parts:
        return _execute_init(package, path)
    try:
        return importlib.import_module(name)
    except FeatureStoreError:
        raise
    except Exception as error:
        raise _unimportable(error, path, folder) from error


def _execute_init(package: str, path: Path) -> ModuleType:
    module = sys.modules[package]
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    except FeatureStoreError:
        raise
    except Exception as error:
        raise _unimportable(error, path, path.parent) from error
    return module


def _unimportable(error: Exception, path: Path, folder: Path) -> DefinitionError:
    """Name the user's own line at which the import stopped."""
    where = f"{folder.name}/{path.relative_to(folder).as_posix()}"
    if isinstance(error, SyntaxError):
        where = f"{where}:{error.lineno}"
    else:
        own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(str(folder))]
        if own:
            where = f"{folder.name}/{Path(own[-1].filename).relative_to(folder).as_posix()}:{own[-1].lineno}"
    return DefinitionError("FS210", f"cannot import the registry: {type(error).__name__}: {error}", where=where)


def _collect(module: ModuleType) -> Iterator[Definition]:
    for name, value in vars(module).items():
        if not name.startswith("__"):
            yield from definitions_in(value)


def definitions_in(value: Any) -> Iterator[Definition]:
    """The definitions in a value: itself, or inside lists, tuples, sets and dicts."""
    if isinstance(value, Definition):
        yield value
    elif isinstance(value, ViewInstance):
        yield value.view
    elif isinstance(value, dict):
        for item in value.values():
            yield from definitions_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from definitions_in(item)
