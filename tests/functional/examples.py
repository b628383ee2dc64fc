"""The examples, loaded as modules: each is a script that runs by itself."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.needs import ROOT


def load(name: str) -> ModuleType:
    """`examples/{name}/run.py`."""
    spec = importlib.util.spec_from_file_location(f"{name}_example", ROOT / "examples" / name / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for themselves
    spec.loader.exec_module(module)
    return module
