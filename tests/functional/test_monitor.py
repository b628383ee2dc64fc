"""`featurestore monitor`: what it finds, whom it tells, how it ends, and what a server says of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.cli.monitor import after
from featurestore.errors import StoreError
from featurestore.intervals import FixedClock, format_instant
from featurestore.monitoring import results as kept
from featurestore.monitoring.monitor import LATEST, Monitor, Round
from featurestore.monitoring.results import ALERT, OK, SKIPPED, Result
from featurestore.posting import post, reason_of
from featurestore.server import monitored
from featurestore.server.keys import ANYONE, Key
from featurestore.server.monitored import Monitored
from scripts.planted import plant
from tests.functional.conftest import environment
from tests.receiver import Receiver, receiving
from tests.served import HOUR, SECOND, W, a_day, altered, answered, log, project

ALWAYS = '[monitor]\nwindow = "40000d"\n'
"""A window that holds what was served at W whatever the machine's clock says."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def about_skew(told: list[dict]) -> list[tuple[str, str]]:
    return [(body["event"], body["feature"]) for body in told if body["check"] == "skew"]


def test_skew_is_found_told_once_and_resolved(cli, tmp_path, receiver, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_WEBHOOK_TOKEN", "open-sesame")
    monkeypatch.setenv("FEATURESTORE_MONITOR__WEBHOOK", receiver.url)
    served = a_day(project(tmp_path, ALWAYS), rows=60)
    wrong = log(tmp_path, "service", altered(served, "number", {7: 99}))
    once = ("monitor", "--once", "--json", "--project", tmp_path)
    said = cli(*once)
    assert (said.code, said.json["errors"][0]["code"]) == (1, "FS166")
    [skew] = [r for r in said.json["result"]["results"] if r["check"] == "skew" and r["status"] == "alert"]
    assert (skew["feature"], skew["value"], skew["threshold"]) == ("number", 1 / 60, 0.0)
    assert skew["what"] == "1 of 60 served cells differ from the offline truth: value 1"
    assert about_skew(receiver.taken) == [("opened", "number")]
    assert {headers["authorization"] for headers in receiver.headers} == {"Bearer open-sesame"}
    assert [h["idempotency-key"] for h in receiver.headers] == [body["id"] for body in receiver.asked]
    assert not {"details", "examples", "keys"} & set(receiver.taken[0])

    cli(*once)
    assert about_skew(receiver.taken) == [("opened", "number")]
    wrong.unlink()
    log(tmp_path, "service", served)
    said = cli(*once)
    assert ("skew", "number") not in [(a["check"], a["feature"]) for a in said.json["result"]["alerts"]["open"]]
    assert about_skew(receiver.taken) == [("opened", "number"), ("resolved", "number")]
    [detailed] = [r for r in kept.recent(tmp_path / ".featurestore/monitor", 0) if r.feature == "number" and r.status == ALERT][
        :1
    ]
    assert detailed.details["examples"][0]["served"] == {"value": 99, "status": "present"}


def test_a_redirection_is_not_followed_and_the_token_is_nowhere_to_be_read(cli, tmp_path, receiver, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_WEBHOOK_TOKEN", "open-sesame")
    monkeypatch.setenv("FEATURESTORE_MONITOR__WEBHOOK", receiver.url)
    receiver.answers = [307, 307]
    log(tmp_path, "service", altered(a_day(project(tmp_path, ALWAYS), rows=20), "number", {7: 99}))
    said = cli("monitor", "--once", "--project", tmp_path, "-v")
    assert (said.code, len(receiver.asked), receiver.taken) == (1, 1, [])
    assert "warning: the webhook does not take events: the receiver said 307" in said.err
    assert "events wait for the webhook" in said.out
    written = "".join(p.read_text() for p in (tmp_path / ".featurestore" / "monitor").iterdir())
    assert "open-sesame" not in said.out + said.err + written


@pytest.mark.parametrize(
    "arguments, code",
    [(["--every", "1 month"], "FS211"), (["--every", "10ms"], "FS102"), (["--once", "--every", "1h"], "FS102")],
)
def test_what_is_typed_wrong(cli, project, arguments, code):
    said = cli("monitor", *arguments, "--json")
    assert (said.code, said.json["errors"][0]["code"]) == (2, code)


def test_looks_are_on_multiples_of_the_interval_since_1970():
    assert [after(now, 15) for now in (0, 1, 14, 15, 29)] == [15, 15, 15, 30, 30]


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)])
def test_it_looks_at_once_then_waits_until_a_signal_ends_it_and_there_is_one_only(cli, project, number, code):
    command = [sys.executable, "-m", "featurestore.cli", "monitor", "--every", "1d"]
    with subprocess.Popen(command, cwd=project, env=environment(), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert " open" in next(line for line in running.stderr if " ok" in line)
        other = cli("monitor", "--once", "--json")
        assert (other.code, other.json["errors"][0]["code"]) == (5, "FS489")
        running.send_signal(number)
        running.stderr.read()
    assert running.returncode == code
    assert (project / ".featurestore" / "monitor" / LATEST).is_file()
    assert cli("monitor", "--once", "--json").json["errors"][:1] != other.json["errors"][:1]


def test_a_look_that_cannot_be_written_does_not_end_the_monitor(cli, project, monkeypatch):
    looks = []

    def look(self: Monitor) -> None:
        looks.append(self)
        raise KeyboardInterrupt if len(looks) == 3 else StoreError("FS405", "the disk is full")

    monkeypatch.setattr(Monitor, "look", look)
    monkeypatch.setattr("featurestore.cli.monitor._wait", lambda *_: None)
    said = cli("monitor", "--every", "1s")
    assert (said.code, len(looks)) == (130, 3)
    assert said.err.count("warning: FS405 the disk is full") == 2


def test_between_two_looks_neither_a_full_disk_ends_the_monitor_nor_a_clock_set_back_its_looks(cli, project, monkeypatch):
    looks, slept = [], []
    clock = FixedClock(W + 2)

    def look(self: Monitor) -> Round:
        looks.append(clock.now())
        if len(looks) == 3:
            raise KeyboardInterrupt
        return Round(clock.now())

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.micros += round(seconds * SECOND) if len(looks) == 2 or len(slept) < 3 else -HOUR

    def due(self: Monitor) -> int:
        raise StoreError("FS405", "the disk is full")

    monkeypatch.setattr(Monitor, "look", look)
    monkeypatch.setattr(Monitor, "due", property(due))
    monkeypatch.setattr("featurestore.cli.monitor.time.sleep", sleep)
    monkeypatch.setattr(FeatureStore, "monitor", lambda self: Monitor(project / "found", "p", self._checks, clock=clock))
    said = cli("monitor", "--every", "1h")
    assert said.code == 130
    assert looks[1] == looks[0] + 2 * 60 * SECOND - HOUR, "at once"
    assert looks[2] == after(looks[1], HOUR)
    assert (set(slept[:3]), said.err.count("warning: FS405 the disk is full")) == ({60.0}, 2)


@pytest.mark.parametrize("token", ["open\r\nsesame", "open-sés€me"])
def test_a_token_that_cannot_be_sent_is_not_told_and_the_end_of_its_line_is_none_of_it(receiver, token):
    with pytest.raises(ValueError) as refused:
        post(receiver.url, b"{}", token=token, wait=5)
    assert not any(part in reason_of(refused.value) for part in ("open", "sesame", "€"))
    post(receiver.url, b"{}", token="open-sesame\n", wait=5)
    assert [h["authorization"] for h in receiver.headers] == ["Bearer open-sesame"]


# A week.


def test_a_week_on_its_own_clock_fires_exactly_the_expected_alerts_each_once(tmp_path, receiver, monkeypatch):
    """Looks at midnight and noon. The feed stops on the third morning for a day; by the fifth noon nobody has materialized; on
    the sixth a cell is served wrong. The receiver refuses the first event twice."""
    monkeypatch.setenv("FEATURESTORE_MONITOR__WEBHOOK", receiver.url)
    monkeypatch.setenv("FEATURESTORE_MONITOR__WINDOW", "11h")
    monkeypatch.setenv("FEATURESTORE_PROFILES__MATERIALIZATIONS", "false")
    receiver.answers = [503, 500]
    feed = plant(tmp_path, days=28, stopped=(23.25, 24.25))
    clock = FixedClock(0)
    for half in range(42, 56):
        at = feed.day(half / 2)
        clock.micros = at - HOUR
        store = FeatureStore(tmp_path, clock=clock)
        if half != 51:
            store.materialize(known_before=clock.micros)
        table = answered(store, "sensors_v1", {"sensor_id": list(range(10))}, at - HOUR // 2)
        log(tmp_path, "sensors_v1", altered(table, "value", {3: -1.0}) if half == 53 else table)
        clock.micros = at
        monitor = store.monitor()
        with monitor.locked():
            last = monitor.look()
    told = [(b["event"], b["check"], b["kind"], b["subject"], b["feature"], b["at"]) for b in receiver.taken]
    readings, view, service = (
        ("source", "readings", None),
        ("view", "sensor_readings", None),
        ("service", "sensors_v1", "value"),
    )
    expected = [
        ("opened", "freshness", readings, 23.5), ("opened", "volume", readings, 23.5),
        ("resolved", "freshness", readings, 24.5), ("resolved", "volume", readings, 24.5),
        ("opened", "partitions", readings, 24.5),
        ("opened", "freshness", view, 25.5), ("resolved", "freshness", view, 26),
        ("opened", "skew", service, 26.5), ("resolved", "skew", service, 27),
    ]  # fmt: skip
    assert told == [(event, check, *of, format_instant(feed.day(day))) for event, check, of, day in expected]
    assert len(receiver.asked) == len(told) + 2
    assert len({body["id"] for body in receiver.taken}) == len(told)
    assert [str(key) for key in last.open] == ["partitions of source readings"]
    skew = receiver.taken[7]
    assert skew == {
        "format": 1, "id": skew["id"], "alert": receiver.taken[8]["alert"], "event": "opened", "check": "skew",
        "at": format_instant(feed.day(26.5)), "opened_at": format_instant(feed.day(26.5)), "project": "planted",
        "kind": "service", "subject": "sensors_v1", "feature": "value", "status": "alert", "value": 0.1, "threshold": 0.0,
        "what": "1 of 10 served cells differ from the offline truth: value 1",
    }  # fmt: skip


def test_served_rows_that_moved_from_the_training_set_alert_and_what_cannot_be_compared_says_so(cli, tmp_path):
    settings = '[drift]\nmin_rows = 50\n[monitor.drift]\nservice = "reference.parquet"\nother = "nowhere.profile"\n'
    store = project(tmp_path, settings)
    served = a_day(store, rows=300)
    pq.write_table(a_day(store, rows=300, seed=1), tmp_path / "reference.parquet")
    log(tmp_path, "service", altered(served, "x", dict.fromkeys(range(0, 300, 2), 9.0)))
    store.clock.micros = W + 4 * HOUR
    found = {(r.subject, r.feature): r for r in store.monitor().look().results if r.check == "drift"}
    statuses = {of: r.status for of, r in found.items()}
    assert (statuses["service", "x"], statuses["service", "number"]) == (ALERT, OK)
    assert (found["other", None].status, "FS" in found["other", None].what) == (ALERT, True)


# What a server says of it.


def gauges(folder: Path, key: Key = ANYONE) -> dict[tuple[str, ...], float]:
    families = Monitored(folder).families(key, {"mine": ["view"], "theirs": ["other"]})
    return {(f.name.removeprefix("featurestore_"), *s.labels.values()): s.value for f in families for s in f.samples}


def looked(folder: Path, *found: Result) -> None:
    monitor = Monitor(folder, "shop", lambda: _checks(found), clock=FixedClock(W))
    with monitor.locked():
        monitor.look()


class _checks:
    def __init__(self, found: tuple[Result, ...]) -> None:
        self.found = found

    def __enter__(self) -> list:
        from featurestore.monitoring.monitor import Check

        return [Check(("skew", "freshness", "drift", "volume"), lambda now: self.found)]

    def __exit__(self, *_: object) -> None:
        pass


def one(check: str, kind: str, subject: str, feature: str | None, status: str, value: float | None) -> Result:
    return Result(at=W, check=check, kind=kind, subject=subject, feature=feature, status=status, value=value)


def test_metrics_tell_the_newest_results_and_a_restricted_key_sees_its_own(tmp_path):
    assert gauges(tmp_path) == {}
    looked(
        tmp_path,
        one("skew", "service", "mine", "f", ALERT, 0.25),
        one("skew", "service", "mine", "g", OK, 0.0),
        one("skew", "service", "theirs", "f", SKIPPED, None),
        one("freshness", "view", "view", None, OK, 60.0),
        one("freshness", "view", "other", None, ALERT, 9_000.0),
        one("volume", "source", "payments", None, OK, 12.0),
        one("drift", "service", "theirs", None, OK, 0.01),
    )
    mine = {
        ("monitor_last_look_seconds",): W / 1_000_000,
        ("check_status", "skew", "service", "mine"): 2,
        ("check_status", "freshness", "view", "view"): 0,
        ("skew_mismatch_rate", "mine", "f"): 0.25,
        ("skew_mismatch_rate", "mine", "g"): 0.0,
        ("freshness_seconds", "view", "view"): 60.0,
        ("monitor_series_left_out",): 0,
    }
    assert gauges(tmp_path, Key("scorer", services=("mine",))) == mine
    assert gauges(tmp_path) == mine | {
        ("check_status", "skew", "service", "theirs"): -1,
        ("check_status", "freshness", "view", "other"): 2,
        ("check_status", "volume", "source", "payments"): 0,
        ("check_status", "drift", "service", "theirs"): 0,
        ("freshness_seconds", "view", "other"): 9_000.0,
        ("volume_rows", "payments"): 12.0,
        ("drift", "service", "theirs", ""): 0.01,
    }


def test_metrics_are_bounded_those_that_alert_first_and_read_anew_when_they_are_others(tmp_path, monkeypatch):
    monkeypatch.setattr(monitored, "MOST_SERIES", 2)
    known = Monitored(tmp_path)
    looked(tmp_path, *(one("skew", "service", "mine", f"f{i}", ALERT if i == 7 else OK, float(i)) for i in range(9)))
    told = gauges(tmp_path)
    assert told["skew_mismatch_rate", "mine", "f7"] == 7.0
    assert (len([name for name in told if name[0] == "skew_mismatch_rate"]), told["monitor_series_left_out",]) == (2, 7)
    first = known.results()
    assert known.results() is first
    looked(tmp_path, one("skew", "service", "mine", "f", OK, 0.5))
    assert [r.feature for r in known.results()] == ["f"]
    (tmp_path / LATEST).write_text("{")
    assert known.results() == []
