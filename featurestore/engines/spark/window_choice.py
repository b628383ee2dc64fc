"""Choose, from the data, by which plans a part's windows are computed, and the numbers its statements need.

A choice never changes a value. It looks at the number of facts, at the facts of the keys that are asked for, and at the
magnitudes of numbers: from those follow the scales that make doubles whole, the limbs into which whole numbers are cut, and
whether a sum of them can be held at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.compiler.spark import windows as sql
from featurestore.compiler.spark.windows import moments
from featurestore.dtypes import DOUBLE, DType
from featurestore.engines.spark.session import Session
from featurestore.plan.nodes import Output, Window, facts_of, measure_of, measures, reach_of

AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """Some outputs of a part and the plan that serves them.

    listed: those whose sums, means and variances come as lists of numbers, because no sum holds them. parameters: what the
    statement needs beside the run's own. estimates: cost per plan that could serve, in millions of rows handled.
    """

    plan: str
    outputs: tuple[Output, ...]
    sql: str
    listed: frozenset[str]
    parameters: Mapping[str, object]
    estimates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Statistics:
    """What is known of the data: facts, the most of any key, the first and last instant of any, spine rows, the facts of its
    key that a row meets; of measures how their whole numbers are scaled and how many bits they have, and which are never NULL
    and always finite; latest: how late any fact is known, where there are no versions."""

    facts: int
    most: int
    first: int
    last: int
    rows: int
    per_key: float
    powers: Mapping[int, int]
    bits: Mapping[int, int]
    never_null: frozenset[int] = frozenset()
    finite: frozenset[int] = frozenset()
    latest: int | None = None

    @property
    def several(self) -> int:
        """How many bits more a sum may have than its terms: over a key's facts, twice (a replaced version counts once more)."""
        return (2 * self.most).bit_length()

    @property
    def width(self) -> int:
        """Bits of a limb, so that those of a key add up within 64."""
        return min(moments.ROOM - self.several, moments.WIDTH_MOST)

    def in_reach(self, reach: int | None) -> float:
        """The facts of its key that a row meets in a reach before it."""
        return self.per_key if reach is None else self.per_key * min(1.0, reach / max(self.last - self.first, 1))


def choose(
    session: Session, plan: Window, parameters: Mapping[str, object], rows: int, *, wanted: str = AUTO, skewed: bool = False
) -> list[Choice]:
    """The choices for a part whose source and spine are bound. Outputs of one plan come in one choice.

    Args: parameters: the run's own. rows: of the spine. wanted: the plan to take wherever it can serve, or AUTO. skewed: the
        relation `heavy_keys` is bound, and has rows.
    """
    known = statistics(session, plan, parameters, rows)
    chosen: dict[str, list[Output]] = {}
    estimates: dict[str, float] = {}
    for outputs in sql.strands(plan):
        narrow = tuple(o for o in outputs if not _is_wide(plan, o, known))
        chosen.setdefault("pairs", []).extend(o for o in outputs if o not in narrow)
        if narrow:
            name, costs = _plan_for(plan, narrow, known, wanted)
            chosen.setdefault(name, []).extend(narrow)
            estimates |= {other: estimates.get(other, 0.0) + cost for other, cost in costs.items()}
    return [_choice(plan, name, outputs, known, skewed, estimates) for name, outputs in chosen.items() if outputs]


def statistics(session: Session, plan: Window, parameters: Mapping[str, object], rows: int) -> Statistics:
    """One narrow pass over the source, and two counts per key."""
    (found,) = session.table(sql.statistics(plan), parameters).to_pylist()
    (density,) = session.table(sql.densities(plan), parameters).to_pylist()
    numbers, facts = dict(enumerate(measures(plan.outputs), 1)), int(found["facts"])
    powers: dict[int, int] = {}
    bits: dict[int, int] = {}
    for number, measure in numbers.items():
        least, greatest = found.get(f"least_{number}"), found.get(f"greatest_{number}")
        if measure.dtype == DOUBLE:
            powers[number], bits[number] = (0, 1) if least is None else _scale(least, greatest)
        elif f"least_{number}" in found:
            bits[number] = max(_bits(least, measure.dtype), _bits(greatest, measure.dtype))
    return Statistics(
        facts,
        int(density["most"]),
        found["first_instant"] or 0,
        found["last_instant"] or 0,
        rows,
        float(density["met"]) / max(rows, 1),
        powers,
        bits,
        frozenset(n for n in numbers if f"present_{n}" in found and found[f"present_{n}"] == facts),
        frozenset(n for n, m in numbers.items() if m.dtype == DOUBLE and found[f"finite_{n}"] == found[f"present_{n}"]),
        (found["latest"] or 0) if facts_of(plan.facts)[1] is None else None,
    )


def _scale(least: float, greatest: float) -> tuple[int, int]:
    """Doubles of a measure times 2^power are whole numbers of at most so many bits."""
    power = 52 - (math.frexp(least)[1] - 1)
    return power, math.frexp(greatest)[1] + power


def _bits(value: Any, dtype: DType) -> int:
    """Bits of a measure's whole number."""
    if value is None:
        return 1
    return abs(int(value.scaleb(dtype.precision_scale[1]) if dtype.is_decimal else value)).bit_length() or 1


def _is_wide(plan: Window, output: Output, known: Statistics) -> bool:
    """No sum holds the terms of an output over all facts."""
    if output.aggregate not in moments.MOMENTS or output.aggregate == "count":
        return False
    number = measures(plan.outputs).index(measure_of(output)) + 1
    if number not in known.powers:
        return False
    bits = known.bits[number]
    return bits > moments.VALUE_BITS or bits + known.several > moments.ALL_BITS or not -960 <= known.powers[number] <= 970


def _plan_for(plan: Window, outputs: tuple[Output, ...], known: Statistics, wanted: str) -> tuple[str, dict[str, float]]:
    costs = {name: COSTS[name](outputs, known) / 1e6 for name in sql.plans_for(plan, outputs[0])}
    if wanted == AUTO:
        return min(costs, key=lambda name: costs[name]), costs
    return (wanted if wanted in costs else "pairs"), costs


def _pairs_cost(outputs: tuple[Output, ...], known: Statistics) -> float:
    met = known.rows * known.in_reach(reach_of(outputs))
    return known.facts + 3 * known.rows + met * (1 + 0.2 * len(outputs))


def _edges_cost(outputs: tuple[Output, ...], known: Statistics) -> float:
    ends = {end for o in outputs for end in (o.offset, o.window and o.offset + o.window) if end is not None}
    return (known.facts + known.rows * len(ends)) * (1 + 0.2 * len(outputs))


def _sweep_cost(outputs: tuple[Output, ...], known: Statistics) -> float:
    return known.facts + _edges_cost(outputs, known)


COSTS = {"pairs": _pairs_cost, "edges": _edges_cost, "sweep": _sweep_cost}
"""Rows handled by a plan, by and large, from measurements (docs/benchmarks.md)."""


def _choice(
    plan: Window, name: str, outputs: list[Output], known: Statistics, skewed: bool, estimates: Mapping[str, float]
) -> Choice:
    in_order = tuple(sorted(outputs, key=plan.outputs.index))
    numbers = measures(plan.outputs)
    wide = frozenset(numbers.index(measure_of(o)) + 1 for o in in_order if _is_wide(plan, o, known))
    asked = sql.Asked(plan, in_order, wide, known.width, known.bits, known.never_null, known.finite, known.latest,
                      skewed=skewed and name != "pairs")  # fmt: skip
    scales: dict[str, object] = {}
    for number, power in known.powers.items():
        power = power if -960 <= power <= 970 else 0
        scales |= {f"scale_{number}": 2.0**power, f"unscale_{number}": 2.0**-power}
    listed = frozenset(o.name for o in in_order if asked.is_list(o))
    return Choice(name, in_order, sql.window_sql(asked, name), listed, scales, estimates)


def described(choice: Choice) -> dict[str, Any]:
    """A choice as plain data, for manifests and `explain`."""
    return {
        "plan": choice.plan,
        "outputs": [o.name for o in choice.outputs],
        "as_lists": sorted(choice.listed),
        "parameters": dict(choice.parameters),
        "estimates": {name: round(cost, 3) for name, cost in choice.estimates.items()},
    }
