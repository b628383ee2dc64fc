"""Stories of what is watched: served cells held against their truth, alerts told once. For mutants to stumble over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from featurestore import FeatureStore
from featurestore.intervals import MICROS_PER_DAY, FixedClock, format_instant
from featurestore.monitoring.alerts import Alerts, Event, Key
from featurestore.monitoring.results import ALERT, OK, SKIPPED, WARNING, Result
from featurestore.monitoring.skew import FeatureSkew, ServiceSkew, Skew
from featurestore.monitoring.webhook import deliver
from featurestore.online import past
from featurestore.online.generations import Generation, generation, past_generations, publish
from featurestore.online.memory import MemoryStore
from tests.served import HOUR, SECOND, W, a_day, altered, answered, facts, log, project


def _replayed(folder: Path) -> Skew:
    return FeatureStore(folder, clock=FixedClock(W + 10 * HOUR)).verify_log()


def _of(found: Skew, feature: str) -> tuple[int, int, int]:
    told = found.services["service"].features[feature]
    return told.compared, told.mismatched, told.unverifiable.total()


def _each_served_cell_is_held_against_its_own_generation(folder: Path) -> None:
    store = project(folder)
    tables = [a_day(store, rows=40)]
    for n in (1, 2, 3):
        at = W + 4 * n * HOUR
        facts(folder / "data" / f"n{n}.parquet", [(n * 1_000 + i, i % 40, at - i * SECOND, at - i * SECOND) for i in range(80)])
        store.clock.micros = at
        store.materialize(known_before=at)
        tables.append(a_day(store, rows=40, seed=n, after=4 * n * HOUR))
    for number, table in enumerate(tables):
        log(folder, "service", table, name=str(number))
    assert _of(_replayed(folder), "total") == _of(_replayed(folder), "hour") == (160, 0, 0)


def _what_is_altered_is_named_and_no_other(folder: Path) -> None:
    served = a_day(project(folder), rows=40)
    served = altered(altered(served, "number", {3: 99}), "x__status", {5: "null"})
    hashed = served.set_column(served.column_names.index("key.k"), "key_hash.k", pa.array([f"{i:032x}" for i in range(40)]))
    unknown = altered(altered(served.slice(0, 1), "number", {0: None}), "number__status", {0: "stale"})
    for number, table in enumerate((served, hashed, unknown)):
        log(folder, "service", table, name=str(number))
    found = _replayed(folder)
    assert (_of(found, "number"), _of(found, "x"), _of(found, "total")) == ((40, 1, 40), (41, 1, 40), (41, 0, 40))
    assert found.services["service"].features["number"].stale == 1


def _pushes_before_an_answer_count_and_those_after_do_not(folder: Path) -> None:
    store = project(folder)
    tables = []
    for hour in (3, 4):
        store.clock.micros = W + hour * HOUR
        store.push("facts", [{"id": 9_000 + hour, "k": 1, "e": format_instant(W + hour * HOUR - 5), "x": 1.5}])
        tables.append(answered(store, "service", {"k": [1]}, store.clock.now() + 1, amount=[1.0]))
    log(folder, "service", *tables)
    assert _of(_replayed(folder), "number") == (2, 0, 0)


def _a_share_that_may_differ_is_no_alert(folder: Path) -> None:
    found = ServiceSkew("s")
    found.features = {name: FeatureSkew(compared=10, mismatched=wrong) for name, wrong in (("at", 1), ("above", 2))}
    assert found.above(0.1) == ["above"]
    assert [r.status for r in found.results(0, 0.1)] == [OK, ALERT]


def _result(status: str, subject: str = "a", feature: str | None = None) -> Result:
    return Result(at=0, check="skew", kind="service", subject=subject, feature=feature, status=status)


def _taken(alerts: Alerts, *found: Result, complete: Iterable[str] = ("skew",)) -> list[tuple[str, str]]:
    return [(change.event, change.key.subject) for change in alerts.take(found, list(complete), 7)]


def _an_alert_opens_once_and_ends_when_it_is_over(folder: Path) -> None:
    alerts = Alerts()
    assert _taken(alerts, _result(ALERT)) == [("opened", "a")]
    assert _taken(alerts, _result(ALERT)) == []
    assert _taken(alerts, _result(SKIPPED)) == []
    assert _taken(alerts, complete=()) == [], "the check could not run"
    assert _taken(alerts, _result(WARNING)) == [("resolved", "a")]
    _taken(alerts, _result(ALERT), _result(ALERT, "b", "f"))
    assert _taken(alerts, _result(SKIPPED, "b")) == [("resolved", "a")], "of b nothing is known"
    alerts.write(folder)
    assert Alerts.read(folder).open == {Key("skew", "service", "b", "f"): 7}


def _events_are_taken_in_order_and_once(folder: Path) -> None:
    alerts, sent, refuse = Alerts(), list[str](), [True]
    alerts.tell({"id": name} for name in "abc")

    def send(event: Event) -> None:
        if event.id == "b" and refuse:
            refuse.clear()
            raise OSError("no")
        sent.append(event.id)

    assert deliver(alerts, send, 100, lambda: alerts.write(folder)) == (1, "no")
    assert [event.id for event in Alerts.read(folder).waiting] == ["b", "c"]
    assert deliver(alerts, send, 101, lambda: None) == (0, ""), "it is not due yet"
    assert deliver(alerts, send, 100 + 30 * SECOND, lambda: None) == (2, "")
    assert sent == ["a", "b", "c"]


def _past_generations_are_told_with_their_own_files(folder: Path) -> None:
    store, days = MemoryStore(), (0, 5, 36, 39)
    states = [[1, 2], [2, 1, 3], [3, 4], [4]]
    for number, (day, state) in enumerate(zip(days, states, strict=True), 1):
        files = tuple({"path": f"{n}"} for n in state)
        made = Generation("v", "f", number, day * MICROS_PER_DAY, 0, f"v@{number}", 0, (), files, {})
        store.write(lambda batch, made=made: publish(batch, made, {}, {"v": "f"}))
    with store.read() as snapshot:
        live = generation(snapshot, "v", "f")
        assert live is not None
        told = [(one.number, [int(e["path"]) for e in one.state]) for one in past_generations(snapshot, live)]
    assert told == [(3, [3, 4]), (2, [2, 1, 3])]
    assert past.whole(past.in_common([{"a": 1}, {"b": 2}], [{"b": 2}]), [{"b": 2}]) == ({"a": 1}, {"b": 2})


WATCHED: Mapping[str, Callable[[Path], None]] = {
    f"watched-{story.__name__.removeprefix('_')}": story
    for story in (
        _an_alert_opens_once_and_ends_when_it_is_over, _events_are_taken_in_order_and_once,
        _past_generations_are_told_with_their_own_files, _a_share_that_may_differ_is_no_alert,
        _what_is_altered_is_named_and_no_other, _pushes_before_an_answer_count_and_those_after_do_not,
        _each_served_cell_is_held_against_its_own_generation,
    )
}  # fmt: skip
