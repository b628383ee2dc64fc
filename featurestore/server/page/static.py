"""What pages look like and do: a script and an icon that they load, named with their digest, so that they are kept for good,
and one style sheet that is in every page, so that none waits for it."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("static")
PREFIX = "/static/"
TYPES = {
    "page.js": b"text/javascript; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}
"""Every file that is loaded, and its content type."""


class File(NamedTuple):
    body: bytes
    kind: bytes
    digest: str


@lru_cache(maxsize=len(TYPES))
def file(name: str) -> File:
    """A file of `TYPES`. Raises: KeyError for another."""
    kind = TYPES[name]
    body = (FOLDER / name).read_bytes()
    return File(body, kind, hashlib.sha256(body).hexdigest()[:16])


def address(name: str) -> str:
    """Where a page finds a file."""
    return f"{PREFIX}{name}?v={file(name).digest}"


@lru_cache(maxsize=1)
def style() -> str:
    """The style sheet."""
    return (FOLDER / "page.css").read_text(encoding="utf-8")


def style_source() -> str:
    """How a Content-Security-Policy names that one style and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()}'"


__all__ = ["FOLDER", "PREFIX", "TYPES", "File", "address", "file", "style", "style_source"]
