"""One timeline per key: aggregates run along it, and every window is made of what they had come to at its two ends.

Facts lie on the timeline as marks, and each spine row as one edge per instant at which a window of it begins or ends. It
costs a shuffle and a sort of marks and edges, however many facts a window holds: Spark's frames over a range of time are
quadratic in those, its running aggregates are not. Which marks there are, what runs, and what of which edges makes a window
is `edges`' and `sweep`'s business.

Ticks are twice the instant; facts are odd, so that they come after the edges of their own instant. With exact matches rows
ask a microsecond later, which is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import indent

from featurestore.compiler.spark.facts import key_names, on_keys
from featurestore.compiler.spark.skew import HEAVY
from featurestore.compiler.spark.windows.shared import Asked, add_numbers
from featurestore.compiler.statement import Steps, listed

AT = "(tick DIV 2)"
"""The instant of an edge."""
_KEPT = ("row_id", "asked_at", "edge", "tick")


@dataclass(frozen=True)
class Running:
    """An aggregate (max, min or sum) of something of each mark, in the order of time or against it."""

    function: str
    argument: str
    forward: bool = True


@dataclass
class Timeline:
    """One statement in the making.

    sided: the marks of a key have sides that run apart. edges: (side, how long before the row asks, as SQL), numbered from 1.
    """

    asked: Asked
    steps: Steps
    sided: bool = False
    edges: dict[tuple[int, str], int] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    cells: list[str] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        return key_names(self.asked.plan.spine.keys)

    @property
    def by(self) -> list[str]:
        """What runs apart."""
        return [*self.keys, *(["side"] if self.sided else [])]

    def edge(self, back: str, side: int = 0) -> int:
        return self.edges.setdefault((side, back), len(self.edges) + 1)

    def run(self, column: str, function: str, argument: str, *, forward: bool = True) -> str:
        """Let an aggregate run. Returns: its column."""
        self.running[column] = Running(function, argument, forward)
        return column

    def add(self, marks: str, carried: Sequence[str]) -> None:
        """The steps from `measured` to `grouped`, with every cell. marks: a FROM clause in which a mark has its `instant`, side
        and what of a fact is carried."""
        asked_at = "asked_at + 1" if self.asked.plan.facts.exact else "asked_at"
        mark = ["2 * instant + 1 AS tick", "CAST(NULL AS BIGINT) AS row_id", "CAST(NULL AS BIGINT) AS asked_at",
                "CAST(NULL AS INT) AS edge"]  # fmt: skip
        edge = [f"2 * ({asked_at} - back) AS tick", "row_id", "asked_at", "edge"]
        self.steps.add("marks", "facts, at the instants at which what windows hold changes",
                       f"SELECT\n{listed([*self.by, *mark, *carried])}\n{marks}")  # fmt: skip
        places = ", ".join(f"struct({n} AS edge, {side} AS side, {back} AS back)" for (side, back), n in self.edges.items())
        self.steps.add("edges", "spine rows, at each instant at which a window of theirs begins or ends",
                       f"SELECT\n{listed([*self.by, *edge, *(f'NULL AS {name}' for name in carried)])}\n"
                       f"FROM spine LATERAL VIEW inline(array({places})) AS edge, side, back")  # fmt: skip
        self._add_timeline()
        self._add_running(add_numbers(self.steps, self.asked, "timeline"))
        group = "row_id" if self.asked.skewed else ", ".join([*self.keys, "row_id"])
        self.steps.add("grouped", "per spine row what its windows hold",
                       f"SELECT\n{listed(['row_id', 'max(asked_at) AS asked_at', *self.cells])}\n"
                       f"FROM running\nGROUP BY {group}")  # fmt: skip

    def _add_timeline(self) -> None:
        both = "SELECT * FROM marks\nUNION ALL\nSELECT * FROM edges"
        if not self.asked.skewed:
            self.steps.add("timeline", "both, those of a key together",
                           f"SELECT * FROM (\n{indent(both, '  ')}\n)\nDISTRIBUTE BY {', '.join(self.keys)}")  # fmt: skip
            return
        self.steps.add("both", "marks and edges", both)
        self.steps.add(
            "timeline",
            "those of a key together, but that the timeline of a heavy one is cut into stretches",
            "SELECT * FROM (\n  SELECT b.*, CASE WHEN h.cuts IS NULL THEN 0 ELSE "
            "aggregate(h.cuts, 0, (n, c) -> n + CAST(c <= b.tick AS INT)) END AS stretch\n"
            f"  FROM both AS b LEFT JOIN {HEAVY} AS h ON {on_keys('b', 'h', self.keys)}\n)\n"
            f"DISTRIBUTE BY {', '.join([*self.keys, 'stretch'])}",
        )

    def _add_running(self, source: str) -> None:
        by = ", ".join([*self.by, *(["stretch"] if self.asked.skewed else [])])
        name = "within" if self.asked.skewed else "passed"
        columns = [f"{r.function}({r.argument}) OVER {'ahead' if r.forward else 'back'} AS {column}"
                   for column, r in self.running.items()]  # fmt: skip
        windows = [f"  {window} AS (PARTITION BY {by} ORDER BY tick {order} ROWS UNBOUNDED PRECEDING)"
                   for window, order, forward in (("ahead", "ASC", True), ("back", "DESC", False))
                   if any(r.forward is forward for r in self.running.values())]  # fmt: skip
        self.steps.add(name, "what has come up to each point of the timeline, or comes from there on",
                       f"SELECT\n{listed([by, *_KEPT, *columns])}\nFROM {source}\n"
                       "WINDOW\n" + ",\n".join(windows))  # fmt: skip
        if not self.asked.skewed:
            self.steps.add("running", "of these points the edges", "SELECT * FROM passed WHERE row_id IS NOT NULL")
            return
        whole = [f"{r.function}({r.argument}) AS {column}" for column, r in self.running.items()]
        self.steps.add(
            "whole", "what the stretches of heavy keys come to",
            f"SELECT\n{listed([by, *whole])}\nFROM {source} AS t LEFT SEMI JOIN {HEAVY} AS h "
            f"ON {on_keys('t', 'h', self.keys)}\nGROUP BY {by}",
        )  # fmt: skip
        apart = ", ".join(self.by)
        rest = [f"{r.function}({column}) OVER ({_others(apart, r.forward)}) AS {column}" for column, r in self.running.items()]
        self.steps.add("before", "what all earlier stretches come to, or all later ones",
                       f"SELECT\n{listed([by, *rest])}\nFROM whole")  # fmt: skip
        same = on_keys("w", "b", [*self.by, "stretch"])
        joined = [_put_together(r.function, column) for column, r in self.running.items()]
        self.steps.add("running", "the edges, with what has come before their stretch, or comes after it",
                       f"SELECT\n{listed([*(f'w.{c}' for c in _KEPT), *joined])}\n"
                       f"FROM within AS w LEFT JOIN before AS b ON {same}\nWHERE w.row_id IS NOT NULL")  # fmt: skip


def _others(by: str, forward: bool) -> str:
    order = "ASC" if forward else "DESC"
    return f"PARTITION BY {by} ORDER BY stretch {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"


def _put_together(function: str, column: str) -> str:
    within, before = f"w.{column}", f"b.{column}"
    both = f"{before} + {within}"
    if function != "sum":
        both = f"CASE WHEN {before} {'>' if function == 'max' else '<'} {within} THEN {before} ELSE {within} END"
    return f"CASE WHEN {within} IS NULL THEN {before} WHEN {before} IS NULL THEN {within} ELSE {both} END AS {column}"
