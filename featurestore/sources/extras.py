"""Libraries that only some sources need: imported when such a source is read, with an error that says how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from featurestore.errors import StoreError


def imported(module: str, *, extra: str, what: str) -> Any:
    """A module of an extra. what: what needs it, as a subject. Raises: StoreError FS480."""
    try:
        found: ModuleType = importlib.import_module(module)
    except ImportError as error:
        raise missing(error.name or module, f"featurestore[{extra}]", what) from error
    return found


def missing(module: str, package: str, what: str) -> StoreError:
    """The error for a library that is not installed. package: what to install."""
    return StoreError("FS480", f"{what} needs the library {module!r}, which is not installed", hint=f"pip install {package}")
