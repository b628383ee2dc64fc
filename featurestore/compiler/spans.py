"""The stretch of time before t that a window covers, in no dialect."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.plan.nodes import Output


@dataclass(frozen=True)
class Span:
    """A window as distances before t: event times in [t - low, t - high), or (…, …] with exact matches; low None: all."""

    low: int | None
    high: int


def span_of(output: Output) -> Span:
    return Span(None if output.window is None else output.offset + output.window, output.offset)
