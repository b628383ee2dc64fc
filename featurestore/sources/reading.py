"""One task's reading of sources: what it opens elsewhere, it opens once, and lets go of at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
_opened: ContextVar[tuple[ExitStack, dict[object, Any]] | None] = ContextVar("_opened", default=None)


@contextmanager
def reading() -> Iterator[None]:
    """What sources open elsewhere within this, such as a snapshot of a database, serves all of them and is closed behind it.
    One within another is part of that. Outside of any it is closed when nobody holds it any more."""
    if _opened.get() is not None:
        yield
        return
    with ExitStack() as stack:
        token = _opened.set((stack, {}))
        try:
            yield
        finally:
            _opened.reset(token)


def shared(key: object, begin: Callable[[], T], close: Callable[[T], None]) -> tuple[T, bool]:
    """What was opened of that name in this task, or is now. Returns: it, and whether it is new."""
    current = _opened.get()
    if current is None:
        return begin(), True
    stack, opened = current
    is_new = key not in opened
    if is_new:
        opened[key] = begin()
        stack.callback(close, opened[key])
    return opened[key], is_new


def forget(key: object) -> None:
    """The next who asks for it has it opened anew."""
    current = _opened.get()
    if current is not None:
        current[1].pop(key, None)
