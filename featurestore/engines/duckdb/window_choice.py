"""Choose, from the data, by which plans a part's windows are computed, and the numbers its statements need.

A choice never changes a value. It looks at the number of facts, at the facts per key of some sampled spine rows, and at
the magnitudes of doubles: from those follow the scales that make them whole numbers, and whether 128 bits hold their sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from featurestore.compiler.duckdb import windows as sql
from featurestore.compiler.duckdb.windows import moments
from featurestore.compiler.duckdb.windows.stretches import LEVELS, NEAR_LEVELS
from featurestore.dtypes import DOUBLE
from featurestore.engines.duckdb.session import Session
from featurestore.engines.duckdb.window_statistics import SAMPLED_ROWS, Statistics, statistics
from featurestore.plan.nodes import Output, Window, measure_of, measures, reach_of
from featurestore.sources import SourceData

AUTO = "auto"
MARKS_PER_TILE = 3


@dataclass(frozen=True)
class Choice:
    """Some outputs of a part and the plan that serves them.

    listed: those whose sums, means and variances come as lists of numbers, because 128 bits do not hold them. parameters:
    what the statement needs beside the run's own. estimates: cost per plan that could serve, in millions of rows handled.
    """

    plan: str
    outputs: tuple[Output, ...]
    sql: str
    listed: frozenset[str]
    parameters: Mapping[str, object]
    estimates: Mapping[str, float] = field(default_factory=dict)


def choose(
    session: Session, plan: Window, parameters: Mapping[str, object], rows: int, *,
    whole: SourceData | None = None, wanted: str = AUTO,
) -> list[Choice]:  # fmt: skip
    """The choices for a part whose source and spine are bound. Outputs of one plan come in one choice.

    Args: parameters: the run's own. rows: of the spine. whole: the source, if its footers prove that no row is left out.
        wanted: the plan to take wherever it can serve, or AUTO.
    """
    return _choices(plan, parameters, statistics(session, plan, parameters, rows, rows, whole), wanted)


def choose_without_spine(
    session: Session, plan: Window, parameters: Mapping[str, object], *, wanted: str = AUTO
) -> tuple[int, list[Choice]]:
    """(rows assumed, choices) for a spine nobody has given, whose keys are asked for as they occur."""
    session.execute(f"CREATE OR REPLACE TEMP TABLE spine AS\n{sql.sample(plan, SAMPLED_ROWS)}", parameters)
    (held,) = session.table("SELECT count(*) AS held FROM spine")["held"].to_pylist()
    known = statistics(session, plan, parameters, None, held)
    return known.rows, _choices(plan, parameters, known, wanted)


def _choices(plan: Window, parameters: Mapping[str, object], known: Statistics, wanted: str) -> list[Choice]:
    scales = {number: _scale(*sizes) for number, sizes in known.magnitudes.items()}
    tiles = {name: _tile(plan, name, known) for name in sql.ALIGNED}
    if parameters["known_shift"]:
        tiles["aligned"] = 0
    chosen: dict[str, list[Output]] = {}
    estimates: dict[str, float] = {}
    for outputs in sql.strands(plan):
        narrow = tuple(o for o in outputs if not _is_wide(plan, o, scales, known))
        chosen.setdefault("pairs", []).extend(o for o in outputs if o not in narrow)
        if narrow:
            name, costs = _plan_for(plan, narrow, known, tiles, wanted)
            chosen.setdefault(name, []).extend(narrow)
            estimates |= {other: estimates.get(other, 0.0) + cost for other, cost in costs.items()}
    numbers = {**_numbers(plan, known, scales), "soon": _soon(plan.outputs, known)}
    return [
        _choice(plan, name, outputs, scales, known, numbers, tiles.get(name, 0), estimates)
        for name, outputs in chosen.items()
        if outputs
    ]


def _choice(
    plan: Window, name: str, outputs: list[Output], scales: Mapping[int, _Scale], known: Statistics,
    numbers: Mapping[str, object], tile: int, estimates: Mapping[str, float],
) -> Choice:  # fmt: skip
    in_order = tuple(sorted(outputs, key=plan.outputs.index))
    wide = frozenset(sql.Asked(plan, (o,)).number(o) for o in in_order if _is_wide(plan, o, scales, known))
    narrow = frozenset(n for n, s in scales.items() if s.bits + known.several <= moments.NARROW_BITS)
    asked = sql.Asked(plan, in_order, wide, known.never_null, known.finite, known.small, narrow, latest=known.latest)
    most = _most_tiles(plan, known)
    asked = replace(asked, levels={span: _levels(span, known, most) for span in asked.spans}, tile=tile)
    listed = frozenset(o.name for o in in_order if asked.is_list(o))
    return Choice(name, in_order, sql.window_sql(asked, name), listed, {**numbers, "tile": tile}, estimates)


def _most_tiles(plan: Window, known: Statistics) -> int:
    """How many tiles a key may have: as many as the busiest of the sampled ones could fill, and twice that, but no more than
    runs of them may double; far ones only if the tiles that most rows meet would else hold too much."""
    reach, period = reach_of(plan.outputs), known.last - known.first + 1
    in_reach = known.in_reach(reach)
    doublings = next((n for n in range(NEAR_LEVELS, LEVELS) if in_reach <= 2 * MARKS_PER_TILE * 2**n), LEVELS)
    # Two less: a key has a tile more than its marks ask for, and an empty one behind the last.
    cap = (2**doublings - 2) * period // min(reach or period, period)
    return int(max(min(cap, 4 * known.most // MARKS_PER_TILE), 16))  # a replaced version counts once more


def _levels(span: sql.Span, known: Statistics, tiles: int) -> int:
    """How often runs of tiles must double to be as long as all tiles of any key that lie in the window."""
    if span.low is None:
        return tiles.bit_length()
    inside = max(tiles * span.low // max(known.last - known.first, 1) - 1, 1)
    return min(inside, tiles).bit_length() - 1


@dataclass(frozen=True)
class _Scale:
    """Doubles of a measure times 2^power are whole numbers of at most so many bits."""

    power: int
    bits: int


def _scale(least: float, greatest: float) -> _Scale:
    power = 52 - (math.frexp(least)[1] - 1)
    return _Scale(power, math.frexp(greatest)[1] + power)


def _is_wide(plan: Window, output: Output, scales: Mapping[int, _Scale], known: Statistics) -> bool:
    """128 bits do not hold the terms of an output over all facts."""
    if output.aggregate not in moments.MOMENTS or output.aggregate == "count":
        return False
    scale = scales.get(measures(plan.outputs).index(measure_of(output)) + 1)
    if scale is None:
        return False
    most = moments.SQUARE_BITS if output.aggregate in moments.SQUARED else moments.VALUE_BITS
    return scale.bits > most or scale.bits + known.several > moments.ALL_BITS or not -960 <= scale.power <= 970


def _numbers(plan: Window, known: Statistics, scales: Mapping[int, _Scale]) -> dict[str, object]:
    """The parameters $scale_i and $unscale_i of doubles, and those of the grid."""
    found: dict[str, object] = {
        "first_instant": known.first,
        "last_instant": known.last,
        "per_tile": MARKS_PER_TILE,
        "most_tiles": _most_tiles(plan, known),
    }
    for number, measure in enumerate(measures(plan.outputs), 1):
        if measure.dtype == DOUBLE:
            scale = scales.get(number)
            power = scale.power if scale is not None and -960 <= scale.power <= 970 else 0
            found |= {f"scale_{number}": 2.0**power, f"unscale_{number}": 2.0**-power}
    return found


def _plan_for(
    plan: Window, outputs: tuple[Output, ...], known: Statistics, tiles: Mapping[str, int], wanted: str
) -> tuple[str, dict[str, float]]:
    possible = [name for name in sql.plans_for(plan, outputs) if tiles.get(name, 1)]
    costs = {name: COSTS[name](outputs, known) / 1e6 for name in possible if name not in tiles}
    costs |= {name: _aligned_cost(name, outputs, known, tiles[name]) / 1e6 for name in possible if name in tiles}
    if wanted == AUTO:
        return min(costs, key=lambda name: costs[name]), costs
    return (wanted if wanted in possible else "pairs"), costs


def _pairs_cost(outputs: tuple[Output, ...], known: Statistics) -> float:
    met = known.rows * known.in_reach(reach_of(outputs))
    return known.facts + 3 * known.rows + met * (1 + 0.2 * len(outputs))


def _tiles_cost(outputs: tuple[Output, ...], known: Statistics) -> float:
    return 5 * known.facts + known.rows * _ends(outputs) * 4 * MARKS_PER_TILE


def _ends(outputs: tuple[Output, ...]) -> int:
    """At how many distances before t windows begin and end."""
    return len({end for o in outputs for end in (o.offset, o.window and o.offset + o.window) if end is not None})


def _frames_cost(outputs: tuple[Output, ...], known: Statistics) -> float:
    return (known.facts + known.rows) * (4 + 3 * len(outputs))


def _sweep_cost(outputs: tuple[Output, ...], known: Statistics) -> float:
    return 2 * _tiles_cost(outputs, known)


def _tile(plan: Window, name: str, known: Statistics) -> int:
    """The length of aligned tiles that costs least, for all windows that can have some; 0 if none is of use."""
    outputs = _alignable(plan, name)
    return min(possible_tiles(plan, name, known), key=lambda tile: _aligned_cost(name, outputs, known, tile), default=0)


def possible_tiles(plan: Window, name: str, known: Statistics) -> list[int]:
    """The lengths that go into all those windows, and do not make far more tiles than there are facts."""
    outputs = _alignable(plan, name)
    common = sql.common_length(plan, name, outputs) if outputs else 0
    most = max(4 * known.facts, ALWAYS_TILES)
    lengths = (common // parts for parts in PARTS if common % parts == 0)
    return [tile for tile in lengths if 0 < _tiles(outputs, known, tile) <= most]


def _alignable(plan: Window, name: str) -> tuple[Output, ...]:
    return tuple(o for strand in sql.strands(plan) if name in sql.plans_for(plan, strand) for o in strand)


def _tiles(outputs: tuple[Output, ...], known: Statistics, tile: int) -> int:
    """How many aligned tiles of a length there would be; 0 if a window would have too many."""
    hops = (reach_of(outputs) or 0) // tile if tile else LONGEST
    return known.lines * ((known.last - known.first) // tile + 2 * hops + 3) if hops < LONGEST else 0


PARTS = sorted(2**a * 3**b * 5**c for a in range(21) for b in range(4) for c in range(4))
"""Into how many tiles the common length of all windows may be cut."""
LONGEST = 2**15
"""Hops of a window that are too many."""
ALWAYS_TILES = 100_000


def _soon(outputs: tuple[Output, ...], known: Statistics) -> int:
    """How soon facts must be known to go on the grid, at the least cost."""
    return min(known.soon, key=lambda soon: _apart(outputs, known, soon), default=0)


def _apart(outputs: tuple[Output, ...], known: Statistics, soon: int) -> float:
    """The facts that rows meet one by one if those known so soon are on the grid."""
    return known.rows * (known.in_reach(soon) + (1 - known.soon.get(soon, 1)) * known.in_reach(reach_of(outputs)))


def _split_cost(outputs: tuple[Output, ...], known: Statistics) -> float:
    met = _apart(outputs, known, _soon(outputs, known))
    return 2 * known.facts + _tiles_cost(outputs, known) + met * (1 + 0.2 * len(outputs))


def _aligned_cost(name: str, outputs: tuple[Output, ...], known: Statistics, tile: int) -> float:
    cost = 4 * known.facts + 4 * _tiles(outputs, known, tile) + known.rows * _ends(outputs) * (1 + 0.6 * known.in_reach(tile))
    return cost if name == "aligned" else cost + 5 * known.facts


def _snapshot_cost(outputs: tuple[Output, ...], known: Statistics) -> float:
    met = min(known.lines * known.in_reach(reach_of(outputs)), known.facts)
    return known.facts + known.rows + met * (1 + 0.2 * len(outputs))


COSTS = {
    "pairs": _pairs_cost, "tiles": _tiles_cost, "frames": _frames_cost, "sweep": _sweep_cost, "split": _split_cost,
    "snapshot": _snapshot_cost,
}  # fmt: skip
"""Rows handled by a plan, by and large, from measurements (docs/benchmarks.md)."""


def described(choice: Choice) -> dict[str, Any]:
    """A choice as plain data, for manifests and `explain`."""
    return {
        "plan": choice.plan,
        "outputs": [o.name for o in choice.outputs],
        "as_lists": sorted(choice.listed),
        "parameters": dict(choice.parameters),
        "estimates": {name: round(cost, 3) for name, cost in choice.estimates.items()},
    }
