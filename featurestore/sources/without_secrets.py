"""Words of libraries that read tables, without colour, backtrace or credentials, so that they can stand in our errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SECRET = re.compile(r"secret|token|passw|credential|key", re.IGNORECASE)
_USER = re.compile(r"(\w+://)[^/@\s]+@")
_LEAST, _LONGEST = 4, 300


def plain(error: BaseException, *told: Mapping[str, object]) -> str:
    """What an error says, on one line. told: options beside the environment, some of which are secret."""
    text = _COLOUR.sub("", str(error)) or type(error).__name__
    lines = [line.strip().lstrip("↳ ") for line in text.splitlines()]
    said = ": ".join(line for line in lines if line and not re.match(r"\d+: |at \.?/", line))
    for secret in sorted(_secrets(os.environ, *told), key=len, reverse=True):
        said = said.replace(secret, "…")
    said = _USER.sub(r"\1…@", said)
    return said if len(said) <= _LONGEST else said[:_LONGEST] + "…"


def _secrets(*told: Mapping[str, object]) -> Iterable[str]:
    """Values of options whose name says that they are secret, and what stands before the host in a URL."""
    found = set()
    for name, value in (item for options in told for item in options.items() if isinstance(item[1], str)):
        if _SECRET.search(name) and (name.startswith(("AWS_", "PYICEBERG_")) or options is not os.environ):
            found.add(value)
    return {value for value in found if len(value) >= _LEAST}
