"""The serve log against what the server answered: values, statuses, who is in the sample, and what must not be in it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    ArrowSource,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    OnDemandFeatureView,
    agg,
    latest,
    serve_log,
)
from featurestore.config import ServeLog
from featurestore.errors import UsageError
from featurestore.intervals import FixedClock, parse_instant
from featurestore.serve_log import FEATURES, writer
from featurestore.server import create_app, feast
from featurestore.server.keys import Access, add
from featurestore.server.lookups import PATH
from featurestore.server.metrics import Metrics, render
from featurestore.server.served import ServedLog, check
from tests.functional.serving import make_project, serving

ARROW = "application/vnd.apache.arrow.stream"
NOW = parse_instant("2026-01-02T00:00:00Z")
STAMP = pa.timestamp("us", "UTC")
FULL = (-(2**62), 2**62)
VALUES: Mapping[str, tuple[pa.DataType, list[Any]]] = {
    "flag": (pa.bool_(), [True, None, False]),
    "tiny": (pa.int8(), [-128, None, 0]),
    "large": (pa.int64(), [2**63 - 1, None, -(2**63)]),
    "huge": (pa.uint64(), [2**64 - 1, None, 0]),
    "single": (pa.float32(), [0.10000000149011612, math.nan, -0.0]),
    "double": (pa.float64(), [-math.inf, math.nan, math.inf]),
    "money": (pa.decimal128(38, 10), [Decimal("1234567890123456789012345678.0123456789"), None, Decimal(0)]),
    "word": (pa.string(), ['é\u2028"\\😀', None, ""]),
    "raw": (pa.binary(), [b"\x00\xff", None, b""]),
    "day": (pa.date32(), [date(1969, 12, 31), None, date(2024, 2, 29)]),
    "moment": (STAMP, [-1, None, NOW]),
    "list_of_doubles": (pa.list_(pa.float64()), [[1.0, None, math.inf], None, []]),
    "list_of_days": (pa.list_(pa.date32()), [[date(2024, 2, 29), None], None, []]),
    "t": (pa.int64(), [1, 2, 3]),
}
"""A feature of each type, and one that is called as a column of the log is; keys 1 to 3."""


def made_store() -> FeatureStore:
    columns: dict[str, Any] = {"k": [1, 2, 3], "e": pa.array([NOW - 10] * 3, pa.int64()).cast(STAMP)}
    for name, (type_, values) in VALUES.items():
        columns[name] = pa.array(values, pa.int64()).cast(STAMP) if type_ == STAMP else pa.array(values, type_)
    source = ArrowSource(name="facts", table=pa.table(columns), event_timestamp="e", delay="0s")
    features = [*map(latest, VALUES), agg.histogram("day", window="1d", name="days"), agg.count(window="1d", name="n")]
    thing = Entity(name="thing", join_keys=["k"])
    view = FeatureView(name="everything", entities=[thing], source=source, features=features, ttl="1h")
    twice = OnDemandFeatureView(
        name="twice", inputs=[view], request={"x": "double", "on": "date32"}, features={"y": "x * 2", "z": "tiny + 1"}
    )
    far = view[["word", "n"]].with_join_key_map({"k": "far"}).with_prefix("far_")
    services = [
        FeatureService(name="every", features=[view]),
        FeatureService(name="more", features=[view[["tiny"]], twice]),
        FeatureService(name="pairs", features=[view[["word"]], far]),
    ]
    made = FeatureStore(definitions=services, clock=FixedClock(NOW))
    made.materialize(known_before=NOW)
    return made


@pytest.fixture(scope="module")
def store() -> FeatureStore:
    return made_store()


class Logged:
    """A server in this process that keeps a log. settings: of [serve_log]; every request is logged by default."""

    def __init__(self, store: FeatureStore, root: Path, access: Access | None = None, **settings: Any) -> None:
        given = ServeLog.model_validate({"on": True, "path": "log", "secret": "secret", "sample": 1.0, **settings})
        self.served = ServedLog(given, root, store.reader)
        self.metrics, self.folder = Metrics(), root / "log"
        self._reader = store.reader
        self._app = create_app(store.reader, served=self.served, access=access, metrics=self.metrics)

    def ask(self, *questions: Mapping[str, Any], path: str = PATH, **headers: str) -> list[httpx.Response]:
        async def send() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self._app)  # type: ignore[arg-type]
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=given) as client:
                return [await client.post(path, json=question) for question in questions]

        return asyncio.run(send())

    def rows(self, service: str) -> pa.Table:
        """What was logged, once all is written."""
        self.served.close()
        return serve_log.read(self.folder, service, *FULL)

    def bytes(self) -> bytes:
        self.served.close()
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())

    def told(self, name: str) -> float:
        """A metric, by name and labels."""
        lines = render(self.metrics, self._reader, "0")[0].decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:1] != "#"}[name]


def plain(table: pa.Table) -> str:
    """Values that can be compared, NaN too."""
    columns = {
        name: (column.cast(pa.int64()) if column.type == STAMP else column).to_pylist()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return repr(columns)


def test_values_and_statuses_are_those_that_were_answered(store: FeatureStore, tmp_path: Path) -> None:
    logged = Logged(store, tmp_path)
    questions = [{"feature_service": "every", "entities": {"k": keys}} for keys in ([1, 2], [3], [9, None, 1])]
    questions.append({**questions[0], "as_of": "2026-01-02T02:00:00Z"})  # beyond the ttl
    assert [answer.status_code for answer in logged.ask(*questions)] == [200] * 4
    found = logged.rows("every")
    expected = [store.get_online_features("every", q["entities"], as_of=NOW + (i == 3) * 7_200 * 10**6)
                for i, q in enumerate(questions)]  # fmt: skip
    values = pa.concat_tables([one.to_arrow() for one in expected])
    names = values.column_names
    assert serve_log.features(found.column_names) == names
    logged_values = found.select([serve_log.column_of(name) for name in names]).rename_columns(names)
    assert logged_values.schema.equals(values.schema)
    assert plain(logged_values) == plain(values)
    statuses = [row for one in expected for row in one.statuses]
    assert {"present", "null", "not_found", "expired"} == {status for row in statuses for status in row}
    for i, name in enumerate(names):
        assert found[serve_log.status_of(name)].to_pylist() == [row[i] for row in statuses]
    assert found["key.k"].to_pylist() == [1, 2, 3, 9, None, 1, 1, 2]
    assert found["t"].cast(pa.int64()).to_pylist() == [NOW] * 6 + [NOW + 7_200 * 10**6] * 2
    assert set(found["fingerprint"].to_pylist()) == {expected[0].fingerprint}
    assert {json.loads(text)["everything"] for text in found["watermarks"].to_pylist()} == {NOW}
    assert set(found["sampled"].to_pylist()) == {1.0}
    assert logged.told("featurestore_serve_log_rows_total") == 8
    assert logged.told("featurestore_serve_log_files_total") == 1
    assert logged.told("featurestore_serve_log_bytes_total") == serve_log.size(logged.folder)[1]
    assert logged.told('featurestore_serve_log_dropped_rows_total{reason="queue"}') == 0


def test_what_a_request_brings_and_who_asked_are_logged(store: FeatureStore, tmp_path: Path) -> None:
    logged = Logged(store, tmp_path)
    question = {"feature_service": "more", "entities": {"k": [1, 9]}, "request": {"x": ["NaN", 4], "on": ["2024-02-29", None]}}
    (answer,) = logged.ask(question, x_request_id="mine-1")
    found = logged.rows("more")
    assert answer.status_code == 200
    assert repr(found["request.x"].to_pylist()) == "[nan, 4.0]"
    assert found["request.on"].to_pylist() == [date(2024, 2, 29), None]
    assert found.select(["tiny", "z", "z__status"]).to_pydict() == {
        "tiny": [-128, None], "z": [-127, None], "z__status": ["present", "null"],
    }  # fmt: skip
    assert set(found["request_id"].to_pylist()) == {"mine-1"}
    latency, served_at = found["latency_us"].to_pylist(), found["served_at"].cast(pa.int64()).to_pylist()
    assert latency[0] == latency[1] > 0
    assert served_at[0] == served_at[1] > NOW


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([2**63 - 1, -(2**63)], pa.int64()),
        ([2**63, str(2**70)], pa.decimal128(38, 0)),
        (["9" * 39, "-5"], pa.decimal128(38, 0)),
        ([None, str(2**70)], pa.decimal128(38, 0)),
    ],
)
def test_integer_keys_of_any_size(store: FeatureStore, tmp_path: Path, keys: list[Any], expected: pa.DataType) -> None:
    logged = Logged(store, tmp_path)
    assert logged.ask({"feature_service": "every", "entities": {"k": keys}, "int64": "string"})[0].status_code == 200
    column = logged.rows("every")["key.k"]
    assert column.type == expected
    assert column.to_pylist() == [None if key is None or abs(int(key)) >= 10**38 else int(key) for key in keys]


def test_arrow_answers_are_logged_alike(store: FeatureStore, tmp_path: Path) -> None:
    question = {"feature_service": "every", "entities": {"k": [1, 2, 9]}}
    json_log, arrow_log = Logged(store, tmp_path / "json"), Logged(store, tmp_path / "arrow")
    (answer,) = arrow_log.ask(question, accept=ARROW)
    assert answer.headers["content-type"] == ARROW
    json_log.ask(question)
    meant = [name for name in json_log.rows("every").column_names if name not in ("served_at", "latency_us", "request_id")]
    assert plain(json_log.rows("every").select(meant)) == plain(arrow_log.rows("every").select(meant))


def test_what_feasts_clients_ask_is_logged(store: FeatureStore, tmp_path: Path) -> None:
    logged = Logged(store, tmp_path)
    listed = {"features": ["everything:word", "everything:double"], "entities": {"k": [1, 9]}}
    other = {"features": ["everything:n", "twice:y"], "entities": {"k": [2], "x": [1.5], "on": [None], "unused": [0]}}
    service = {"feature_service": "pairs", "entities": {"k": [1], "far": [3]}, "full_feature_names": True}
    assert [one.status_code for one in logged.ask(listed, other, service, path=feast.PATH)] == [200] * 3
    pairs = logged.rows("pairs")
    assert pairs.select(["key.k", "key.far", "word", "far_word", "far_n"]).to_pylist() == [
        {"key.k": 1, "key.far": 3, "word": VALUES["word"][1][0], "far_word": "", "far_n": 1}
    ]
    assert serve_log.services(logged.folder) == ["pairs"]
    assert len(serve_log.files(logged.folder, FEATURES, *FULL)) == 1
    found = logged.rows(FEATURES)
    columns = ["key.k", "everything__word", "everything__word__status", "everything__n", "twice__y", "request.x"]
    assert found.select(columns).to_pydict() == {
        "key.k": [1, 9, 2], "everything__word": [VALUES["word"][1][0], None, None],
        "everything__word__status": ["present", "not_found", None], "everything__n": [None, None, 1],
        "twice__y": [None, None, 3.0], "request.x": [None, None, 1.5],
    }  # fmt: skip
    assert set(found["fingerprint"].to_pylist()) == {""}


def test_refused_requests_are_not_logged(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged = Logged(store, tmp_path)
    good = {"feature_service": "every", "entities": {"k": [1]}}
    bad = [{"feature_service": "none", "entities": {"k": [1]}}, {**good, "entities": {"k": ["text"]}},
           {**good, "as_of": "2020-01-01T00:00:00Z"}, {**good, "request": {"x": [1]}}]  # fmt: skip
    assert [answer.status_code for answer in logged.ask(*bad)] == [404, 422, 409, 422]
    assert logged.ask({**good, "entities": {"k": []}})[0].status_code == 200  # no row
    monkeypatch.setattr("featurestore.server.wire.Wire.answer", lambda *_: 1 / 0)
    monkeypatch.setattr("featurestore.server.feast._told", lambda *_: 1 / 0)
    assert logged.ask(good)[0].status_code == 500, "it was looked up, and not answered"
    listed = {"features": ["everything:word"], "entities": {"k": [9]}}
    assert logged.ask(listed, path=feast.PATH)[0].status_code == 500
    assert logged.rows("every").num_rows == 0
    assert serve_log.size(logged.folder) == (0, 0)


def test_an_unavailable_store_is_logged_as_it_was_answered(store: FeatureStore, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from featurestore.errors import StoreUnavailable

    def unavailable(*_: object) -> None:
        raise StoreUnavailable("FS412", "gone")

    logged = Logged(store, tmp_path)
    question = {"feature_service": "every", "entities": {"k": [1]}, "include": ["statuses"]}
    logged.ask(question)
    monkeypatch.setattr(store.reader.store, "recall", unavailable)
    (answer,) = logged.ask(question)
    assert (answer.status_code, set(answer.json()["statuses"][0])) == (200, {"unavailable"})
    assert logged.rows("every").select(["word", "word__status"]).to_pydict() == {
        "word": [VALUES["word"][1][0], None], "word__status": ["present", "unavailable"],
    }  # fmt: skip


def test_the_sample_is_a_share_of_requests_told_by_their_ids(store: FeatureStore, tmp_path: Path) -> None:
    ids = [f"r{number}" for number in range(20_000)]

    def sampled(share: float) -> set[str]:
        served = Logged(store, tmp_path, sample=share).served
        found = {one for one in ids if served.is_sampled(one.encode())}
        served.close()
        return found

    tenth = sampled(0.1)
    assert 1_830 <= len(tenth) <= 2_170  # four standard deviations
    assert sampled(0.1) == tenth < sampled(0.5)
    assert (sampled(0), sampled(1)) == (set(), set(ids))
    logged = Logged(store, tmp_path / "answers", sample=0.1)
    for one in ids[:40]:
        logged.ask({"feature_service": "pairs", "entities": {"k": [1, 2], "far": [3, 3]}}, x_request_id=one)
    found = logged.rows("pairs")
    assert found["request_id"].to_pylist() == [one for one in ids[:40] if one in tenth for _ in range(2)]
    assert set(found["sampled"].to_pylist()) == {0.1}


def test_a_full_queue_costs_rows_and_no_answers(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LOOK_EVERY", 3_600)
    logged = Logged(store, tmp_path, queue=5)
    question = {"feature_service": "every", "entities": {"k": [1, 2]}}
    assert {answer.status_code for answer in logged.ask(*[question] * 6)} == {200}
    assert logged.told('featurestore_serve_log_dropped_rows_total{reason="queue"}') == 8
    assert logged.rows("every").num_rows == 4


SECRETS = {"word": "Kartoffelsalat", "k": 7_654_321_987, "x": 1234.56789}


@pytest.fixture(scope="module")
def private() -> FeatureStore:
    """What is in it can be found in the bytes of a file."""
    facts = pa.table(
        {"k": [SECRETS["k"]], "e": pa.array([NOW - 10], pa.int64()).cast(STAMP), "word": [SECRETS["word"]], "n": [5]}
    )
    source = ArrowSource(name="facts", table=facts, event_timestamp="e", delay="0s")
    thing, person = Entity(name="thing", join_keys=["k"]), Entity(name="person", join_keys=["name"])
    view = FeatureView(name="v", entities=[thing], source=source, features=[latest("word"), latest("n")])
    people = FeatureView(
        name="people", entities=[person], source=source, join_key_map={"name": "word"}, features=[latest("n", name="m")]
    )
    copied = OnDemandFeatureView(name="copied", inputs=[view], request={"x": "double"}, features={"y": "x * 0 + n"})
    mapped = view.with_join_key_map({"k": "customer"}).with_prefix("customer_")
    services = [FeatureService(name="s", features=[mapped, copied]), FeatureService(name="p", features=[people])]
    made = FeatureStore(definitions=services, clock=FixedClock(NOW))
    made.materialize(known_before=NOW)
    return made


def ask_everything(logged: Logged) -> None:
    key, word, x = SECRETS["k"], SECRETS["word"], SECRETS["x"]
    service = {"feature_service": "s", "entities": {"customer": [key], "k": [key]}, "request": {"x": [x]}}
    of_feast = [
        {"feature_service": "s", "entities": {"customer": [key], "k": [key], "x": [x]}, "full_feature_names": True},
        {"features": ["v:word", "v:n"], "entities": {"k": [key]}},
        {"features": ["copied:y"], "entities": {"k": [key], "x": [x]}},
        {"features": ["people:m"], "entities": {"name": [word]}},
    ]
    answers = [
        *logged.ask(service, {"feature_service": "p", "entities": {"name": [word]}}),
        *logged.ask(service, accept=ARROW),
        *logged.ask(*of_feast, path=feast.PATH),
    ]
    assert [answer.status_code for answer in answers] == [200] * 7, [answer.text for answer in answers]


def forms(secret: Any) -> list[bytes]:
    """How a value may stand in a file."""
    if isinstance(secret, str):
        return [secret.encode()]
    return [str(secret).encode(), pa.array([secret]).buffers()[1].to_pybytes()[:8]]


@pytest.mark.parametrize("redact", [("word", "name", "customer", "k", "x"), ("customer_word", "people.name", "v.k", "x")])
def test_what_is_redacted_is_nowhere_in_the_log(
    private: FeatureStore, tmp_path: Path, redact: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyarrow.parquet.write_table", plainly(pq.write_table))
    hides, control = Logged(private, tmp_path / "hides", redact=redact), Logged(private, tmp_path / "control")
    ask_everything(control)
    ask_everything(hides)
    for secret in SECRETS.values():
        assert any(form in control.bytes() for form in forms(secret))
        assert not any(form in hides.bytes() for form in forms(secret))
    assert hides.rows("s").num_rows == control.rows("s").num_rows == 3
    assert hides.rows(FEATURES)["v__n"].to_pylist() == [5, None, None]
    assert serve_log.features(hides.rows("s").column_names) == ["customer_n"]  # y is made of x


def plainly(write: Any) -> Any:
    """Parquet in which values can be found as they are."""
    return lambda table, where, **_: write(table, where, compression="none", use_dictionary=False)


def test_hashed_keys_are_alike_over_restarts_services_and_feast_and_nowhere_in_clear(
    private: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyarrow.parquet.write_table", plainly(pq.write_table))
    first = Logged(private, tmp_path, hash_keys=True, redact=["word", "x"])
    ask_everything(first)
    assert not any(form in first.bytes() for secret in SECRETS.values() for form in forms(secret))
    found, composed = first.rows("s"), first.rows(FEATURES)
    assert len({*found["key_hash.customer"].to_pylist(), *found["key_hash.k"].to_pylist()}) == 1
    assert found["key_hash.k"].to_pylist()[0] == composed["key_hash.k"].to_pylist()[0]
    assert first.rows("p")["key_hash.name"].to_pylist() == composed["key_hash.name"].to_pylist()[2:]
    again = Logged(private, tmp_path, hash_keys=True, redact=["word", "x"])
    ask_everything(again)
    assert len(set(again.rows("s")["key_hash.k"].to_pylist())) == 1
    assert again.rows("s").num_rows == 6
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_name_to_redact_that_nothing_has_stops_the_start(private: FeatureStore, tmp_path: Path) -> None:
    settings = ServeLog.model_validate({"path": "log", "secret": "secret", "redact": ["wrod"]})
    with private.reader.store.read() as snapshot, pytest.raises(UsageError, match=r"'wrod'.*try word"):
        check(settings, tmp_path, snapshot)
    check(settings, tmp_path, None)  # nothing is served yet


def test_until_it_is_known_what_a_name_hides_nothing_is_logged(
    private: FeatureStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logged = Logged(private, tmp_path, redact=["wrod", "word"])
    ask_everything(logged)
    assert serve_log.size(logged.folder) == (0, 0)
    assert logged.told('featurestore_serve_log_dropped_rows_total{reason="redact"}') == 7
    assert [record.message for record in caplog.records] == [
        "nothing is logged of what is served: nothing is called wrod (serve_log.redact)"
    ]


def test_a_secret_within_the_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lies in the log"):
        check(ServeLog.model_validate({"path": "log", "secret": "log/secret"}), tmp_path, None)


def test_nothing_of_an_api_key_is_logged(store: FeatureStore, tmp_path: Path) -> None:
    secret, _ = add(tmp_path / "keys.toml", "partner", services=["pairs"])
    logged = Logged(store, tmp_path, Access(tmp_path / "keys.toml"))
    given = {"authorization": f"Bearer {secret}"}
    mine = {"feature_service": "pairs", "entities": {"k": [1], "far": [1]}}
    assert [one.status_code for one in logged.ask(mine, {"feature_service": "every", "entities": {"k": [1]}}, **given)] == [
        200,
        403,
    ]
    assert logged.ask({"features": ["everything:word"], "entities": {"k": [1]}}, path=feast.PATH, **given)[0].status_code == 200
    assert serve_log.size(logged.folder)[0] == 0
    assert logged.rows("pairs").num_rows == logged.rows(FEATURES).num_rows == 1
    assert not any(part.encode() in logged.bytes() for part in secret.split("_")[1:])


# A server of its own.


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_log_what_they_answer_and_write_it_all_before_they_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    root = make_project(tmp_path / "shop", rows=300)
    monkeypatch.setenv("FEATURESTORE_SERVE_LOG__ON", "true")
    monkeypatch.setenv("FEATURESTORE_SERVE_LOG__SAMPLE", "1")
    monkeypatch.setenv("FEATURESTORE_SERVE_LOG__HASH_KEYS", "true")
    folder = root / ".featurestore" / "serve_log"
    question = {"feature_service": "fraud_v1", "entities": {"customer_id": [10038], "merchant_id": ["m00001"]}}
    with serving(root, workers=workers) as served:
        answers = [served.ask(question) for _ in range(40)]
        assert {answer.status for answer in answers} == {200}
        assert serve_log.size(folder) == (0, 0), "gathered for a minute"
        assert served.stop() == 0
    found = serve_log.read(folder, "fraud_v1", *FULL)
    assert sorted(found["request_id"].to_pylist()) == sorted(answer.headers["x-request-id"] for answer in answers)
    names = answers[0].json["feature_names"]
    assert serve_log.features(found.column_names) == names
    assert {len(set(found[column].to_pylist())) for column in ("key_hash.customer_id", "key_hash.merchant_id")} == {1}
    writers = {path.name.split("_")[-1].rsplit("-", 1)[0] for path in serve_log.files(folder, "fraud_v1", *FULL)}
    assert 1 <= len(writers) <= workers


def test_serve_says_what_is_wrong_before_it_serves(tmp_path: Path, cli: Any) -> None:
    root = make_project(tmp_path / "shop", rows=100)
    settings = root / "featurestore.toml"
    settings.write_text(settings.read_text() + '\n[serve_log]\nredact = ["custmer_id"]\n')
    said = cli("serve", "--project", root, "--serve-log", "--port", 0)
    assert (said.code, said.out) == (2, "")
    assert "FS107 setting serve_log.redact: nothing that is served is called 'custmer_id'" in said.err
    assert "try customer_id" in said.err
    assert "serve log: 0 bytes in 0 files" in cli("status", "--project", root).out
    (root / ".featurestore" / "serve_log").rmdir()
    (root / ".featurestore" / "serve_log").write_text("")
    settings.write_text(settings.read_text().replace("custmer_id", "customer_id"))
    assert "serve log" not in cli("status", "--project", root).out
    assert "FS486 cannot write the serve log" in cli("serve", "--project", root, "--serve-log", "--port", 0).err
