"""One page of many rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from featurestore.server.page.asked import Asked

T = TypeVar("T")


@dataclass(frozen=True)
class Paged(Generic[T]):
    """The rows of a page. number: from 1. pages: how many there are, at least 1. total: of all rows. first: which of them, from
    1, is the first here."""

    items: Sequence[T]
    number: int
    pages: int
    total: int
    first: int


def paged(asked: Asked, rows: Sequence[T], per_page: int) -> Paged[T]:
    """The page of ?page=; the nearest there is for one beyond the ends."""
    pages = max(-(-len(rows) // per_page), 1)
    number = asked.number("page", 1, 1, pages)
    before = (number - 1) * per_page
    return Paged(rows[before : before + per_page], number, pages, len(rows), before + 1)


__all__ = ["Paged", "paged"]
