"""Plant a mutant in the running process: functions and methods get the code of the mutated module, and their own back."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from scripts.mutants import MUTANTS, ROOT, Mutant

NAMED = {mutant.name: mutant for mutant in MUTANTS}


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """While inside, the mutant's module runs as mutated. What modules compute when they are imported stays as it was."""
    module = importlib.import_module(mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    mutated = ModuleType(module.__name__)
    exec(compile(text.replace(mutant.old, mutant.new), mutant.file, "exec"), mutated.__dict__)
    before = {}
    for name, function in _functions(vars(module), module.__name__):
        twin = dict(_functions(vars(mutated), module.__name__)).get(name)
        if twin is not None and twin.__code__ != function.__code__:
            before[function] = function.__code__
            function.__code__ = twin.__code__
    assert before, "no function differs"
    try:
        yield
    finally:
        for function, code in before.items():
            function.__code__ = code


def _functions(names: dict[str, Any], module: str, within: str = "") -> Iterator[tuple[str, FunctionType]]:
    for name, value in list(names.items()):
        value = getattr(value, "fget", getattr(value, "func", value))
        if isinstance(value, FunctionType) and value.__module__ == module:
            yield f"{within}{name}", value
        elif isinstance(value, type) and value.__module__ == module:
            yield from _functions(dict(vars(value)), module, f"{within}{name}.")
