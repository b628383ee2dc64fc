"""Alerts open, are resolved and told once each, whatever a receiver, a check or a restart does in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from featurestore.errors import StoreError, StoreLocked, StoreUnavailable
from featurestore.intervals import FixedClock, format_instant
from featurestore.monitoring import alerts as alerting
from featurestore.monitoring import results as kept
from featurestore.monitoring.alerts import FIRST_WAIT, LONGEST_WAIT, Alerts, Event, Key
from featurestore.monitoring.monitor import Check, Monitor, Round, latest
from featurestore.monitoring.results import ALERT, OK, SKIPPED, WARNING, Result

MINUTE = 60_000_000
T = 20_000 * 1_440 * MINUTE


def result(status: str, subject: str = "view", feature: str | None = None, check: str = "freshness", **more: object) -> Result:
    return Result(at=0, check=check, kind="view", subject=subject, feature=feature, status=status, **more)  # type: ignore[arg-type]


class Watched:
    """A monitor whose one check finds what `now_found` says; `opened` and so on of the last look."""

    def __init__(self, folder: Path, *, refuse: Sequence[str] = ()) -> None:
        self.folder, self.clock = folder, FixedClock(T)
        self.now_found: Callable[[], Iterable[Result]] = lambda: ()
        self.refused, self.sent, self.asked = list(refuse), list[dict](), 0

    @contextmanager
    def checks(self) -> Iterator[list[Check]]:
        yield [Check(("freshness", "volume", "reading"), lambda now: [replace(r, at=now) for r in self.now_found()])]

    def send(self, event: Event) -> None:
        self.asked += 1
        if self.refused:
            raise OSError(self.refused.pop(0))
        self.sent.append(dict(event.body))

    def look(self, *found: Result, minutes: int = 15) -> Round:
        """By a monitor of its own, as after a restart."""
        self.now_found = lambda: found
        self.clock.micros += minutes * MINUTE
        monitor = Monitor(self.folder, "shop", self.checks, clock=self.clock, send=self.send)
        with monitor.locked():
            return monitor.look()

    @property
    def told(self) -> list[tuple[str, str, str | None]]:
        return [(body["event"], body["subject"], body["feature"]) for body in self.sent]


def test_an_alert_opens_once_is_resolved_once_and_opens_again_as_another(tmp_path):
    watched = Watched(tmp_path)
    for status in (OK, ALERT, ALERT, WARNING, OK, ALERT):
        watched.look(result(status, what=f"is {status}", value=1.5, threshold=1.0))
    assert [body["event"] for body in watched.sent] == ["opened", "resolved", "opened"]
    first, over, again = watched.sent
    assert (first["alert"] == over["alert"], first["alert"] == again["alert"]) == (True, False)
    assert len({body["id"] for body in watched.sent}) == 3
    assert first == {
        "format": 1, "id": first["id"], "alert": first["alert"], "event": "opened", "at": format_instant(T + 30 * MINUTE),
        "opened_at": format_instant(T + 30 * MINUTE), "project": "shop", "check": "freshness", "kind": "view",
        "subject": "view", "feature": None, "status": "alert", "value": 1.5, "threshold": 1.0, "what": "is alert",
    }  # fmt: skip
    assert (over["at"], over["opened_at"], over["status"]) == (format_instant(T + 60 * MINUTE), first["at"], "warning")


def test_what_is_not_there_any_more_is_resolved_and_what_could_not_be_looked_at_is_not(tmp_path):
    watched = Watched(tmp_path)
    watched.look(result(ALERT, "gone"), result(ALERT, "skipped", "f"), result(ALERT, "skipped", "g"), result(ALERT, "itself"))
    found = watched.look(result(SKIPPED, "skipped"), result(OK, "skipped", "g"), result(SKIPPED, "itself"))
    assert watched.told[4:] == [("resolved", "gone", None), ("resolved", "skipped", "g")]
    assert watched.sent[4]["what"] == "is not checked any more"
    assert list(found.open) == [Key("freshness", "view", "skipped", "f"), Key("freshness", "view", "itself", None)]


def test_a_source_that_can_be_read_again_says_so_whatever_its_rows_say(tmp_path):
    """Its feed is another alert: while it could not be looked at, or tells nothing, that stays as it was."""
    watched = Watched(tmp_path)
    stopped = result(ALERT, "feed", what="the feed stopped")
    unread = Result(at=T, check="reading", kind="view", subject="feed", status=ALERT, what="it cannot be read: FS321")
    watched.look(stopped)
    watched.look(result(SKIPPED, "feed"), unread)
    found = watched.look(result(SKIPPED, "feed", what="too young"))
    assert [(b["event"], b["check"], b["what"]) for b in watched.sent[1:]] == [
        ("opened", "reading", "it cannot be read: FS321"),
        ("resolved", "reading", "it can be read again, or is not read any more"),
    ]  # fmt: skip
    assert [key.check for key in found.open] == ["freshness"]


def test_of_two_results_of_one_thing_the_one_that_alerts_counts(tmp_path):
    watched = Watched(tmp_path)
    watched.look(result(ALERT), result(OK))
    watched.look(result(OK), result(ALERT))
    assert watched.told == [("opened", "view", None)]


def test_a_check_that_raises_alerts_itself_and_leaves_what_it_had_opened(tmp_path):
    watched = Watched(tmp_path)
    watched.look(result(ALERT))

    def raises() -> Iterable[Result]:
        raise ZeroDivisionError("by nought")

    monitor = Monitor(tmp_path, "shop", watched.checks, clock=watched.clock, send=watched.send)
    watched.now_found = raises
    with monitor.locked():
        found = monitor.look()
        assert found.failed == {"freshness": "could not run: ZeroDivisionError: by nought"}
        assert [key.kind for key in found.open] == ["view", "project"]
        watched.now_found = lambda: [result(ALERT)]
        assert [key.kind for key in monitor.look().open] == ["view"]
    assert watched.told == [("opened", "view", None), ("opened", "shop", None), ("resolved", "shop", None)]
    assert watched.sent[-1]["what"] == "runs again"
    assert {(r.kind, r.status) for r in latest(tmp_path)} == {("view", ALERT)}


def test_definitions_that_cannot_be_read_stop_all_checks_and_not_the_monitor(tmp_path):
    watched = Watched(tmp_path)
    watched.look(result(ALERT))

    @contextmanager
    def broken() -> Iterator[list[Check]]:
        raise StoreUnavailable("FS412", "away")
        yield

    monitor = Monitor(tmp_path, "shop", broken, clock=watched.clock)
    found = monitor.look()
    assert [(key.check, key.kind) for key in found.open] == [("freshness", "view"), ("monitor", "project")]
    assert {(r.check, r.status) for r in latest(tmp_path)} == {("freshness", ALERT), ("monitor", ALERT)}


def test_what_is_not_there_yet_is_no_alert(tmp_path):
    watched = Watched(tmp_path)

    def raises() -> Iterable[Result]:
        raise StoreError("FS402", "there is no online store yet")

    monitor = Monitor(tmp_path, "shop", watched.checks, clock=watched.clock, send=watched.send)
    watched.now_found = raises
    assert [r.status for r in monitor.look().results] == [SKIPPED]
    assert watched.sent == []


def test_events_wait_in_their_order_and_each_is_taken_once(tmp_path):
    watched = Watched(tmp_path, refuse=["refused"] * 3)
    found = watched.look(result(ALERT, "a"), minutes=1)
    assert (found.taken, found.waiting, found.why) == (0, 1, "refused")
    watched.look(result(OK, "a"), result(ALERT, "b"), minutes=0)
    assert watched.asked == 1, "not due yet"
    watched.look(result(ALERT, "b"), minutes=1)
    watched.look(result(ALERT, "b"), minutes=2)
    assert watched.told == []
    watched.look(result(ALERT, "b"), minutes=2)
    assert watched.told == [("opened", "a", None), ("resolved", "a", None), ("opened", "b", None)]
    watched.look(result(ALERT, "b"), minutes=60)
    assert len(watched.sent) == len({body["id"] for body in watched.sent}) == 3


def test_waits_double_up_to_an_hour():
    event, waits = Event({"id": "x"}), []
    for _ in range(40):
        event = event.failed(T)
        waits.append(event.due - T)
    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert (max(waits), waits[-1]) == (LONGEST_WAIT, LONGEST_WAIT)


def test_a_receiver_that_never_answers_does_not_fill_the_disk(monkeypatch):
    monkeypatch.setattr(alerting, "MOST_WAITING", 3)
    alerts = Alerts()
    alerts.tell({"id": number} for number in range(5))
    assert ([event.id for event in alerts.waiting], alerts.lost) == (["2", "3", "4"], 2)


def test_a_crash_after_an_event_was_taken_repeats_none_of_the_others(tmp_path):
    watched = Watched(tmp_path)

    def crash(event: Event) -> None:
        if len(watched.sent) == 1:
            raise KeyboardInterrupt
        watched.sent.append(dict(event.body))

    watched.now_found = lambda: [result(ALERT, "a"), result(ALERT, "b")]
    with pytest.raises(KeyboardInterrupt):
        Monitor(tmp_path, "shop", watched.checks, clock=watched.clock, send=crash).look()
    watched.look(result(ALERT, "a"), result(ALERT, "b"))
    assert watched.told == [("opened", "a", None), ("opened", "b", None)]


def test_without_a_receiver_nothing_waits_for_one(tmp_path):
    watched = Watched(tmp_path)
    watched.now_found = lambda: [result(ALERT)]
    monitor = Monitor(tmp_path, "shop", watched.checks, clock=watched.clock)
    assert (monitor.look().waiting, monitor.due) == (0, None)


def test_two_monitors_never_work_in_one_folder(tmp_path):
    watched = Watched(tmp_path)
    one, other = (Monitor(tmp_path, "shop", watched.checks, clock=watched.clock) for _ in range(2))
    with one.locked(), pytest.raises(StoreLocked) as refused, other.locked():
        pass
    assert refused.value.code == "FS489"
    with other.locked():
        pass


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2}', '{"format": 1, "open": [{}], "waiting": [], "lost": 0}', "[1]"])
def test_alerts_that_cannot_be_read_are_said_and_left_alone(tmp_path, text):
    (tmp_path / alerting.FILE).write_text(text)
    with pytest.raises(StoreError) as refused:
        Alerts.read(tmp_path)
    assert refused.value.code == "FS490"
    assert (tmp_path / alerting.FILE).read_text() == text


def test_results_are_kept_as_json_has_them_and_go_with_their_time(tmp_path):
    watched = Watched(tmp_path)
    watched.look(result(OK, value=float("nan"), threshold=float("inf"), details={"psi": float("nan"), "bins": (1, 2)}))
    [found] = kept.recent(tmp_path, 0)
    assert (found.value, found.threshold, found.details) == (None, None, {"psi": None, "bins": [1, 2]})
    watched.look(minutes=91 * 1_440)
    assert kept.recent(tmp_path, 0) == []
    assert json.loads((tmp_path / "latest.json").read_text())["results"] == []


def test_a_clock_that_was_set_back_leaves_no_event_waiting_for_the_future(tmp_path):
    watched = Watched(tmp_path, refuse=["refused"])
    watched.clock.micros = T + 10 * 365 * 1_440 * MINUTE
    watched.look(result(ALERT))
    watched.clock.micros = T
    watched.look(result(ALERT))
    assert (watched.told, watched.asked) == ([("opened", "view", None)], 2)


def test_a_line_that_a_crash_cut_off_takes_none_of_the_next_look_with_it(tmp_path):
    kept.append(tmp_path, [result(OK, "a"), result(OK, "b")])
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    kept.append(tmp_path, [result(OK, "c")])
    assert [r.subject for r in kept.recent(tmp_path, 0)] == ["a", "c"]


def test_results_take_no_more_than_so_many_bytes_and_the_newest_day_stays(tmp_path):
    for day in range(4):
        kept.append(tmp_path, [replace(result(OK), at=day * 1_440 * MINUTE)])
    size = next(tmp_path.iterdir()).stat().st_size
    assert [kept.drop_beyond(tmp_path, most) for most in (4 * size, 3 * size - 1, 0)] == [0, 2, 1]
    assert [path.stem for path in tmp_path.iterdir()] == ["1970-01-04"]


def test_results_of_a_check_are_found_whatever_lies_between_them(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST_BYTES", 0)
    for minute in range(3):
        others = [replace(result(OK, f"{n}"), at=minute * MINUTE, what='"check": "drift"') for n in range(9)]
        kept.append(tmp_path, [replace(result(OK, check="drift"), at=minute * MINUTE), *others])
    assert [r.at for r in kept.of_checks(tmp_path, {"drift"}, 0, 2 * MINUTE)] == [0, MINUTE]
    assert kept.of_checks(tmp_path, set(), 0, MINUTE) == []
