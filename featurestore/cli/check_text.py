"""What `featurestore check --data` found of a source, as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from featurestore.cli import show


def source_lines(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """A heading, a small table, the lateness as bars, then what each view leaves out."""
    if "rows" not in found:
        yield f"{name}: not read"
        return
    files = f" in {found['files']} files" if found["files"] > 1 else ""
    yield f"{name}: {found['rows']:,} rows{files}, {len(found['columns'])} columns used"
    if "keys" not in found:
        yield "  its rows were not looked at"
        return
    yield from _table(tuple(_facts(found)))
    for one in found.get("expectations", ()):
        yield f"  {_outcome(one)}"
        yield from (f"    {e['file']} row {e['row']}: {show.cell(e['value'])}" for e in one.get("examples", ()))
    if found.get("quarantine", {}).get("rows"):
        yield f"  in quarantine: {found['quarantine']['rows']:,} rows, in {found['quarantine']['file']}"
    for lateness in [found.get("lateness"), *found.get("load_time_candidates", ())]:
        if lateness is not None and lateness["rows"]:
            yield from _lateness(lateness)
    for view, reasons in found["left_out"].items():
        yield f"  view {view} leaves out: {show.counts(reasons)}"


def _outcome(one: Mapping[str, Any]) -> str:
    if one["rows"] and "newest" in one:
        return f"{one['action']}: {one['expectation']}: is of {one['newest']}"
    return f"{one['action']}: {one['expectation']}: " + (f"{one['rows']:,} rows are not" if one["rows"] else "holds")


def _table(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(2)] if rows else []
    for what, which, told in rows:
        yield f"  {what.ljust(widths[0])}  {which.ljust(widths[1])}  {told}".rstrip()


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(what, of which columns, what was found)."""
    if event := found.get("event_time"):
        besides = {"NULL": event["null"], "out of range": event["out_of_range"], "after now": event["future"]}
        yield "event time", event["column"], _span(event, besides)
        known = found["known_time"]
        yield "known time", known["declared"], _span(known, {"never": known["never"], "after now": known["future"]})
    for key in found["keys"]:
        shared = f"{key['rows_repeated']:,} rows share it with another" + (" at one time" if event else "")
        doubtful = key["repeated"] and "row_key" not in found  # of versions of one fact it is no news
        yield "key", ", ".join(key["columns"]), _listed([_some(key["nulls"], "NULL"), shared if doubtful else ""])
    if key := found.get("row_key"):
        several = f"{key['repeated']:,} of {key['groups']:,} facts have several versions, at most {key['most']:,}"
        yield "row key", ", ".join(key["columns"]), _listed([_some(key["nulls"], "NULL"), several if key["repeated"] else ""])


def _span(time: Mapping[str, Any], besides: Mapping[str, int]) -> str:
    whole = "no instant" if time["first"] is None else f"{_second(time['first'])} to {_second(time['last'])}"
    return "; ".join([whole, *(_some(n, what) for what, n in besides.items() if n)])


def _second(instant: str) -> str:
    """Without the digits that say nothing."""
    return instant.replace(".000000Z", "Z")


def _some(number: int, what: str) -> str:
    return f"{number:,} {what}" if number else ""


def _listed(parts: list[str]) -> str:
    return "; ".join(part for part in parts if part) or "nothing doubtful"


def _lateness(lateness: Mapping[str, Any]) -> Iterator[str]:
    quantiles = ", ".join(f"{q} {show.age(lateness[f'{q}_us'])}" for q in ("p50", "p90", "p99", "max"))
    yield f'  lateness by {lateness["column"]}: {quantiles}; delay="{lateness["suggested_delay"]}" would cover 99 %'
    bars = {_bound(part["up_to_us"]): part["rows"] for part in lateness["histogram"]}
    used = [i for i, n in enumerate(bars.values()) if n]
    shown = dict(list(bars.items())[used[0] : used[-1] + 1])
    yield from show.bars(shown, indent="    ")


def _bound(bound: int | None) -> str:
    if bound is None:
        return "later"
    return f"up to {show.age(bound)}" if bound else "at once"
