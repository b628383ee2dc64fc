"""Label views: what a model is to predict, as an aggregate over the time after each row's instant.

Decides what a label may be and when it is mature. Which facts it is made of is the contract's section 7; that it never
reaches a feature is proven of every plan (`plan.leakage`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from featurestore.definitions.aggregation import Feature
from featurestore.definitions.view import View
from featurestore.errors import DefinitionError
from featurestore.intervals import Duration, parse_duration

LONGEST = 2**60
"""Microseconds (some 36,000 years) that gap, window and settle may span together: with them no instant leaves int64."""


@dataclass(frozen=True, kw_only=True, repr=False)
class LabelView(View):
    """One label: an aggregate over the facts that happen within a window after t.

    It covers event times [t + gap, t + gap + window), or (t + gap, t + gap + window] where a view of the service allows
    exact matches, over the facts in force at the cut-off, whenever they became known. It is NULL until it is mature:
    until the source is known up to t + gap + window + settle.

    Args:
        entities: whose label it is; [] is one global row.
        source: where the facts come from; not a static one.
        label: one aggregate over one window, `agg.count(window="30d", name="chargebacks_30d")`; the column has its name.
        gap: how long after t the window begins.
        settle: how long after the window's end its facts may still become known; by default the source's `delay`. Has to
            be said of a source with a created_timestamp.
        where: a condition on source columns; keeps facts for which it is TRUE (judged on the version in force).
        join_key_map: {entity key: source column} where their names differ.
    Raises: DefinitionError FS201 to FS204, FS208, FS211, FS214, FS215, FS230 (what `label` cannot be).
    """

    label: Any = None
    gap: Any = "0s"
    settle: Any = None

    kind = "label view"

    def _check(self) -> None:
        super()._check()
        if self.source.static:
            raise DefinitionError("FS204", "a static source has no history, so nothing in it happens after t")
        self._set("label", _label(self.label))
        self._set("gap", parse_duration(self.gap, what="gap"))
        self._set("settle", self._settle())
        if self.reach + self.settle.micros > LONGEST:
            raise DefinitionError("FS230", "gap, window and settle of a label span too long a time", hint='window="30d"')

    def _settle(self) -> Duration:
        if self.settle is not None:
            return parse_duration(self.settle, what="settle")
        if self.source.created_timestamp is not None:
            raise DefinitionError(
                "FS204", f"source {self.source.name!r} has a created_timestamp, so only you can say when a label is complete",
                hint='settle="60d", if that is as late as rows come',
            )  # fmt: skip
        return self.source.known_delay

    @property
    def features(self) -> tuple[Feature, ...]:
        """The label alone."""
        return (self.label,)

    @property
    def window(self) -> Duration:
        assert self.label.window is not None
        return self.label.window  # type: ignore[no-any-return]

    @property
    def reach(self) -> int:
        """Microseconds from t to the end of the window."""
        return self.gap.micros + self.window.micros  # type: ignore[no-any-return]

    @property
    def horizon(self) -> int:
        """Microseconds from t to the instant up to which the source has to be known."""
        return self.reach + self.settle.micros  # type: ignore[no-any-return]


def _label(given: Any) -> Feature:
    """The one aggregate over one finite window that a label is. Raises: DefinitionError FS230."""
    example = 'label=agg.count(window="30d", name="chargebacks_30d")'
    if isinstance(given, list | tuple):
        what = f"a label view has one label, got {len(given)}"
        raise DefinitionError("FS230", what, hint="one window each, and a label view for each")
    if not isinstance(given, Feature):
        raise DefinitionError("FS230", f"label={given!r} is not an aggregate", hint=example)
    if given.is_latest:
        hint = f"agg.last over a window after t, such as {example}"
        raise DefinitionError("FS230", f"latest({given.name!r}) looks back from t and cannot be a label", hint=hint)
    if given.window is None:
        what = f"the window of label {given.name!r} has no end, so it would never be mature"
        raise DefinitionError("FS230", what, hint='window="30d"')
    if given.offset.micros:
        what = f"label {given.name!r} has an offset, which looks back from t"
        raise DefinitionError("FS230", what, hint=f"gap={str(given.offset)!r} on the label view, to begin later")
    if given.aggregate in _LOOK_BACK:
        what = f"{given.aggregate} measures how long before t a fact was, so it cannot be a label"
        raise DefinitionError("FS230", what, hint="agg.count, or agg.min of a time")
    return given


_LOOK_BACK = ("time_since_last", "time_since_first")

__all__ = ["LabelView"]
