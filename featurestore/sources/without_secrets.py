"""Words of libraries that read tables, without colour, backtrace or credentials, so that they can stand in our errors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SECRET = re.compile(r"secret|token|passw|credential|key", re.IGNORECASE)
_USER = re.compile(r"(\w+://)[^/@\s]+@")
_BACKTRACE = re.compile(r"\d+: |at [./]")
_LEAST, _LONGEST = 4, 300


def plain(error: BaseException, told: Mapping[str, object] | None = None) -> str:
    """What an error says, on one line. told: options beside the environment, some of which are secret."""
    lines = [line.strip().lstrip("↳ ") for line in _COLOUR.sub("", str(error)).splitlines()]
    said = ": ".join(line for line in lines if line and not _BACKTRACE.match(line)) or type(error).__name__
    for secret in sorted(_secrets(told or {}), key=len, reverse=True):
        said = said.replace(secret, "…")
    said = _USER.sub(r"\1…@", said)
    return said if len(said) <= _LONGEST else said[:_LONGEST] + "…"


def _secrets(told: Mapping[str, object]) -> set[str]:
    """Values of options whose name says that they are secret."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "PYICEBERG_"))}
    options = [*environment.items(), *told.items()]
    return {value for name, value in options if _SECRET.search(name) and isinstance(value, str) and len(value) >= _LEAST}
