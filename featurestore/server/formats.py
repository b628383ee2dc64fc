"""Which format of an answer a client accepts: JSON, or an Arrow stream (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from http import HTTPStatus

from featurestore.server.problems import Refused

JSON = b"application/json"
ARROW = b"application/vnd.apache.arrow.stream"
OFFERED = (JSON, ARROW)
"""In order of preference where a client has none."""
PLAIN = frozenset((b"", b"*/*", JSON))
"""What nearly all clients send: JSON, seen at a glance."""

_QUALITY = re.compile(rb"0(\.\d{0,3})?|1(\.0{0,3})?")


def chosen(accepted: bytes) -> bytes:
    """The offered format that an Accept header likes best; of equals the one it names more exactly, then JSON.

    Raises: Refused FS561 (406) if it likes none.
    """
    ranges = [r for r in map(_range, accepted.lower().split(b",")) if r is not None]
    best = max(OFFERED, key=lambda offered: _liking(offered, ranges))
    if _liking(best, ranges)[0] == 0:
        what = f"no answer comes as {accepted[:100].decode('latin-1')!r}"
        known = [offered.decode() for offered in OFFERED]
        raise Refused(HTTPStatus.NOT_ACCEPTABLE, "FS561", what, hint=f"Accept: {' or '.join(known)}")
    return best


def _range(text: bytes) -> tuple[bytes, float] | None:
    """A media range and its quality; None for what is none. Parameters other than q do not tell our formats apart."""
    name, *parameters = (part.strip() for part in text.split(b";"))
    quality = next((p[2:] for p in parameters if p.startswith(b"q=")), b"1")
    return (name, float(quality)) if b"/" in name and _QUALITY.fullmatch(quality) else None


def _liking(offered: bytes, ranges: list[tuple[bytes, float]]) -> tuple[float, int]:
    """Quality and exactness, by the most exact range that matches."""
    family = offered.partition(b"/")[0] + b"/*"
    for exactness, name in ((2, offered), (1, family), (0, b"*/*")):
        qualities = [quality for range_, quality in ranges if range_ == name]
        if qualities:
            return max(qualities), exactness
    return 0.0, 0


__all__ = ["ARROW", "JSON", "OFFERED", "PLAIN", "chosen"]
