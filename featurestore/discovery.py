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

from featurestore.definitions import Definition, OnDemandInstance, ViewInstance
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
    writes_nothing = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # byte code is matched by size and second: a quick edit would go unseen
    try:
        for path in _files(folder):
            definitions.extend(_collect(_import(package, path, folder)))
    finally:
        sys.dont_write_bytecode = writes_nothing
        _forget(package)
    return Registry.of(definitions)


def _files(folder: Path) -> list[Path]:
    """In order of name, but the folder's own __init__.py first: the others may import from it."""
    found = [p for p in folder.rglob("*.py") if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    return sorted(found, key=lambda path: (path != folder / "__init__.py", path))


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
    try:
        return importlib.import_module(name) if parts else _execute_init(package, path)
    except FeatureStoreError:
        raise
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}".replace(package, folder.name).replace(str(folder), folder.name)
        where = _stopped_at(error, path, folder)
        raise DefinitionError("FS210", f"cannot import the registry: {what}", where=where) from error


def _execute_init(package: str, path: Path) -> ModuleType:
    module = sys.modules[package]
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    return module


def _stopped_at(error: BaseException, path: Path, folder: Path) -> str:
    """The user's own file and line at which the import stopped."""
    places = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        places.append((error.filename or str(path), error.lineno))
    own = [(Path(name), line) for name, line in places if Path(name).is_relative_to(folder)]
    file, line = own[-1] if own else (path, None)
    return f"{folder.name}/{file.relative_to(folder).as_posix()}" + (f":{line}" if line else "")


def _collect(module: ModuleType) -> Iterator[Definition]:
    for name, value in vars(module).items():
        if not name.startswith("__"):
            yield from definitions_in(value)


def definitions_in(value: Any) -> Iterator[Definition]:
    """The definitions in a value: itself, or inside lists, tuples, sets and dicts."""
    if isinstance(value, Definition):
        yield value
    elif isinstance(value, ViewInstance | OnDemandInstance):
        yield value.view
    elif isinstance(value, dict):
        for item in value.values():
            yield from definitions_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from definitions_in(item)
