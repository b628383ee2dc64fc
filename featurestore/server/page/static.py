"""Files that pages load: one style sheet, one script, one icon. Named with their digest, so that they are kept for good."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("static")
PREFIX = "/static/"
TYPES = {
    "boards.css": b"text/css; charset=utf-8",
    "page.css": b"text/css; charset=utf-8",
    "page.js": b"text/javascript; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}
"""Every file there is, and its content type."""


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


__all__ = ["FOLDER", "PREFIX", "TYPES", "File", "address", "file"]
