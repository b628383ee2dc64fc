"""Methods of the store that are told of where the settings say so. All the rest is imported then."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from featurestore.config import Config

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def observed(teller: str) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Tell of each call by the function of that name in `runs`; without a receiver, call the method as it is."""

    def wrap(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(method)
        def call(store: S, /, *args: P.args, **given: P.kwargs) -> R:
            config: Config = store.config  # type: ignore[attr-defined]
            if not config.openlineage.on:
                return method(store, *args, **given)
            tell: Any = getattr(import_module("featurestore.openlineage.runs"), teller)
            result: R = tell(store, method, *args, **given)
            return result

        return call

    return wrap
