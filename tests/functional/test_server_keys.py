"""API keys: made once and kept as digests, asked for by the server, changed while it runs."""

from __future__ import annotations

import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from featurestore.config import load
from featurestore.errors import UsageError
from featurestore.server import keys
from featurestore.server.run import serve
from tests.functional.conftest import Cli
from tests.functional.serving import PATH, Served, make_project, serving, within_seconds

QUESTION = {"feature_service": "fraud_v1", "entities": {"customer_id": [10038], "merchant_id": ["m00001"]}}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("keys") / "shop", rows=500)


@pytest.fixture
def file(filled: Path) -> Iterator[Path]:
    path = filled / "keys.toml"
    yield path
    path.unlink(missing_ok=True)


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_secret_is_printed_once_and_kept_as_a_digest(cli: Cli, filled: Path, file: Path) -> None:
    said = cli("keys", "add", "scorer", "--service", "fraud_v1", "--project", filled)
    assert said.code == 0
    secret = said.out.strip()
    assert re.fullmatch(r"fsk_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", secret)
    kept = file.read_text()
    assert secret not in kept
    assert secret[13:] not in kept
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [told] = cli("keys", "list", "--json", "--project", filled).json["result"]["keys"]
    assert (told["name"], told["id"], told["scopes"], told["services"]) == ("scorer", secret[4:12], ["lookup"], ["fraud_v1"])
    assert "sha256" not in told


def test_a_name_has_two_keys_while_a_client_changes_over(cli: Cli, filled: Path, file: Path) -> None:
    first, second = (cli("keys", "add", "a", "--json", "--project", filled).json["result"] for _ in range(2))
    third = cli("keys", "add", "a", "--project", filled)
    assert (third.code, third.out) == (2, "")
    assert first["id"] in third.err
    by_name = cli("keys", "revoke", "a", "--project", filled)
    assert by_name.code == 2
    assert second["id"] in by_name.err
    assert cli("keys", "revoke", first["id"], "--project", filled).code == 0
    assert [key.id for key in keys.read(file)] == [second["id"]]
    assert cli("keys", "revoke", "a", "--project", filled).code == 0
    assert keys.read(file) == []


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["ad", "x"], "try add"),
        (["add"], "NAME"),
        (["list", "x"], "no name"),
        (["revoke", "nobody"], "FS123"),
        (["add", "a/b"], "FS123"),
        (["add", "a" * 64], "FS123"),
        (["add", "x", "--scope", "lookups"], "try lookup"),
        (["add", "x", "--scope", ""], "FS123"),
        (["add", "x", "--service", 'a"b'], "FS123"),
    ],
)
def test_keys_typed_wrong(cli: Cli, filled: Path, file: Path, arguments: list[str], named: str) -> None:
    keys.add(file, "other")
    before = file.read_bytes()
    said = cli("keys", *arguments, "--project", filled)
    assert (said.code, said.out) == (2, "")
    assert named in said.err
    assert file.read_bytes() == before


BROKEN = {
    "no TOML": "format = ",
    "no format": "",
    "a newer format": "format = 99",
    "no list": 'format = 1\nkey = "x"',
    "a member too many": 'format = 1\n[[key]]\nid = "00000000"\nsecret = "x"',
    "a short digest": 'format = 1\n[[key]]\nid = "00000000"\nname = "x"\nsha256 = "00"\nscopes = []\n'
    'services = []\ncreated = ""',
    "an unknown scope": f'format = 1\n[[key]]\nid = "00000000"\nname = "x"\nsha256 = "{"0" * 64}"\nscopes = ["all"]\n'
    'services = []\ncreated = ""',
    "services as text": f'format = 1\n[[key]]\nid = "00000000"\nname = "x"\nsha256 = "{"0" * 64}"\nscopes = []\n'
    'services = "fraud_v1"\ncreated = ""',
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_neither_served_nor_written_over(filled: Path, file: Path, text: str) -> None:
    file.write_text(text)
    for refused in (lambda: keys.read(file), lambda: keys.Access(file), lambda: keys.add(file, "x")):
        with pytest.raises(UsageError) as caught:
            refused()
        assert caught.value.code == "FS122"
    assert file.read_text() == text


def test_keys_added_at_once_are_all_kept(file: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: keys.add(file, f"client{n}")[1].id, range(24)))
    assert sorted(key.id for key in keys.read(file)) == sorted(made)


# --- the server -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(filled: Path) -> Iterator[tuple[Served, dict[str, str]]]:
    """A server with keys, and the secrets."""
    path = filled / "guarded.toml"
    secrets = {
        "all": keys.add(path, "all")[0],
        "fraud": keys.add(path, "fraud", services=["fraud_v1"])[0],
        "other": keys.add(path, "other", services=["fraud_v2"])[0],
        "push": keys.add(path, "push", scopes=["push"])[0],
    }
    with serving(filled, api_keys="guarded.toml") as served:
        yield served, secrets


def test_a_valid_key_is_asked_for_everywhere_but_health_and_the_document(guarded: Any) -> None:
    served, secrets = guarded
    assert served.get("/health").status == 200
    assert served.get("/openapi.json").status == 200
    for path in ("/ready", "/metrics", "/v1/feature-services", "/nowhere"):
        assert served.get(path).status == 401
        assert served.get(path, bearer(secrets["push"])).status == (404 if path == "/nowhere" else 200)
    answer = served.ask(QUESTION)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="featurestore"')
    assert answer.json["code"] == "FS521"
    assert served.ask(QUESTION, bearer(secrets["all"])).status == 200
    assert served.ask(QUESTION, {"x-api-key": secrets["fraud"]}).status == 200
    assert served.ask(QUESTION, {"authorization": f"bearer  {secrets['all']} "}).status == 200


WRONG: dict[str, Callable[[str], dict[str, str]]] = {
    "none": lambda s: bearer(""),
    "no secret": lambda s: {"authorization": "Bearer"},
    "another scheme": lambda s: {"authorization": f"Basic {s}"},
    "the last letter is another": lambda s: bearer(s[:-1] + ("A" if s[-1] != "A" else "B")),
    "cut": lambda s: bearer(s[:-1]),
    "more": lambda s: bearer(s + "A"),
    "another id": lambda s: bearer("fsk_00000000" + s[12:]),
    "not ASCII": lambda s: {"authorization": "Bearer fsk_é" + s[5:]},
    "quoted": lambda s: bearer(f'"{s}"'),
    "long": lambda s: bearer(s * 500),
    "the digest": lambda s: bearer("0" * 64),
    "a bad one beside a good one": lambda s: {"x-api-key": s, "authorization": "Bearer x"},
}  # fmt: skip


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_key_is_a_401(guarded: Any, headers: Any) -> None:
    served, secrets = guarded
    for path in (PATH, "/ready"):
        answer = served.send("POST" if path == PATH else "GET", path, b"{}", headers(secrets["all"]))
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert secrets["all"] not in answer.body.decode()


def test_a_key_is_good_for_its_scope_and_services_only(guarded: Any) -> None:
    served, secrets = guarded
    for name in ("other", "push"):
        answer = served.ask(QUESTION, bearer(secrets[name]))
        assert (answer.status, answer.json["code"]) == (403, "FS522")
    unknown = {**QUESTION, "feature_service": "nobody_knows"}
    assert served.ask(unknown, bearer(secrets["fraud"])).status == 403  # not 404: it may not know what there is
    assert served.ask(unknown, bearer(secrets["all"])).status == 404
    shown = {name: served.get("/v1/feature-services", bearer(s)).json["feature_services"] for name, s in secrets.items()}
    assert [bool(shown[name]) for name in ("all", "fraud", "other", "push")] == [True, True, False, True]


def test_a_scope_is_asked_for_before_the_body_is_read(guarded: Any) -> None:
    served, secrets = guarded
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secrets['push']}\r\ncontent-length: 500\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 403")


def test_keys_change_while_the_server_runs(filled: Path, file: Path) -> None:
    first, made = keys.add(file, "a")
    with serving(filled, api_keys="keys.toml") as served:
        second, _ = keys.add(file, "a")
        assert within_seconds(lambda: served.get("/ready", bearer(second)).status == 200)
        assert served.get("/ready", bearer(first)).status == 200
        keys.revoke(file, made.id)
        assert within_seconds(lambda: served.get("/ready", bearer(first)).status == 401)
        for broken in ("format = ", None):
            os.unlink(file) if broken is None else file.write_text(broken)
            time.sleep(1.3)
            assert served.get("/ready", bearer(second)).status == 200
            assert served.get("/ready", bearer(first)).status == 401
        assert served.process.stderr is not None
        third, _ = keys.add(file, "b")
        assert within_seconds(lambda: served.get("/ready", bearer(third)).status == 200)
        assert served.get("/ready", bearer(second)).status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_keys_only_this_machine_is_served(filled: Path, host: str) -> None:
    config = load(filled)
    server = config.server.model_copy(update={"host": host})
    with pytest.raises(UsageError) as caught:
        serve(config.model_copy(update={"server": server}), filled, port=0)
    assert (caught.value.code, caught.value.exit_code) == ("FS121", 2)
    assert "featurestore keys add" in caught.value.hint


def test_with_keys_any_address_is_bound_and_a_file_without_keys_lets_nobody_in(filled: Path, file: Path) -> None:
    file.write_text("format = 1\n")
    with serving(filled, api_keys="keys.toml", host="0.0.0.0") as served:
        assert served.get("/health").status == 200
        assert served.get("/ready", bearer("fsk_00000000_" + "A" * 43)).status == 401


def test_a_file_that_is_missing_is_said_before_anything_is_bound(filled: Path) -> None:
    config = load(filled)
    server = config.server.model_copy(update={"api_keys": "nowhere.toml"})
    with pytest.raises(UsageError) as caught:
        serve(config.model_copy(update={"server": server}), filled, port=0)
    assert caught.value.code == "FS122"
