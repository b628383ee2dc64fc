"""The main job, end to end on generated data: compile, build a training set, materialize, serve, look up, compare, look at it.

    python scripts/demo.py [--rows 100000] [--seed 7]
    python scripts/demo.py --page [--port 8000]     serves what the demo has made, until Ctrl-C

Works on the repository's own project. Everything it makes lies in data/, build/ and .featurestore/, which git ignores; the
online store, and all that is found of it, is the demo's own, so that it never meets one that is in use.
The server it starts is stopped when the demo ends, however it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
MADE = DATA / "generated.json"
"""Says which rows and seed made the data."""
DEMO = Path("build") / "demo"
ONLINE = DEMO / "online"
TRAINING_SET = DEMO / "train.parquet"
LOG = DEMO / "server.log"
OWN = {
    "ONLINE__PATH": ONLINE, "PROFILES__PATH": DEMO / "profiles", "MONITOR__PATH": DEMO / "monitor",
    "SERVE_LOG__PATH": DEMO / "serve_log", "SERVE_LOG__ON": "true", "SERVE_LOG__SAMPLE": "1",
}  # fmt: skip
"""Settings, so that the demo meets nothing but its own."""
PAGES = {
    "/": "everything that is defined: search it; above it what alerts",
    "/services/fraud_v1": "what the model is served with, and a look-up to try",
    "/features/card_payments/amount_sum_7d": "one feature: its words and SQL, the columns it comes from, its profile",
    "/freshness": "the feeds stopped, says the board: the generated data end at New Year",
    "/history": "the generations of each view",
}
"""Pages worth a look."""
SERVICE = "fraud_v1"
WATERMARK = "2026-01-01T00:00:00Z"
"""The generated data end here; in production it would be now."""
PATIENCE = 60
"""Seconds that the server has to start."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the main job end to end on generated data.")
    parser.add_argument("--rows", type=int, default=int(os.environ.get("FEATURESTORE_DEMO_ROWS") or 100_000))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--page", action="store_true", help="serve what the demo has made")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped then, too
    os.chdir(ROOT)
    os.environ.update({f"FEATURESTORE_{name}": str(value) for name, value in OWN.items()})
    DEMO.mkdir(parents=True, exist_ok=True)
    if given.page:
        os.execv(sys.executable, [*CLI, "serve", "--port", str(given.port)])
    began = time.monotonic()
    try:
        run(given.rows, given.seed)
    except Failed as error:
        print(f"\nthe demo stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is half-written, run it again", file=sys.stderr)
        return 130
    say(f"\ndone in {time.monotonic() - began:.0f} s; {', '.join(f'{name} {s:.1f} s' for name, s in took.items())}")
    say("README.md tells this story step by step, for a project of your own")
    return 0


class Failed(Exception):
    """A step went wrong; the message says which."""


def run(rows: int, seed: int) -> None:
    title("Data: a year of card payments, with late rows, corrections, deletions")
    say(generate(rows, seed))

    title("Compile registry/ to the SQL in sql/, which is committed and reviewed")
    said = command("compile")
    if not said.endswith("up to date"):
        said += "\nsql/ HAS CHANGED, for registry/ says something new: git diff sql/"
    say(said)

    title(f"Build a training set for {SERVICE}: every row as it could have been known at its as_of")
    say(command("build", SERVICE, "--spine", "data/spine.parquet", "--output", TRAINING_SET, "--label", "label"))

    title("Materialize: fill the online store with what was known before an instant (the data end there; else it is now)")
    say(command("materialize", "--known-before", WATERMARK))

    with server() as address:
        title("Look one entity up over HTTP, with the amount of the payment that is being scored")
        entity, amount = someone()
        answer = look_up(address, entity, amount)
        title("The same entity at the same instant, from the files")
        compare({**entity, "amount": amount}, answer)
        title("Look at all of it once, as a monitor does every quarter of an hour")
        say(command("monitor", "--once", fails=True))
        title("Pages of the server, for people")
        for path in PAGES:
            say(f"GET {address}{path}  {seen(address + path):,} bytes")

    title("Files")
    for path, what in (
        ("data/", "the sources and the spine"),
        ("sql/", "the plans and their SQL"),
        (TRAINING_SET, "the training set"),
        (f"{TRAINING_SET}.manifest.json", "what went into it, what it means, what was counted"),
        (f"{ONLINE}/", "the demo's online store"),
        (DEMO / "monitor", "what the monitor found"),
    ):
        say(f"{path!s:<40} {what}")

    title("See it: `make page` serves what the demo has made, at http://127.0.0.1:8000/")
    for path, what in PAGES.items():
        say(f"http://127.0.0.1:8000{path:<40} {what}")


# Steps.


def generate(rows: int, seed: int) -> str:
    """Makes the data, unless the same are there."""
    from featurestore.scaffold.generate import generate as make

    wanted = {"rows": rows, "seed": seed}
    try:
        if json.loads(MADE.read_text(encoding="utf-8")) == wanted:
            return f"data/ holds them already ({rows:,} rows, seed {seed})"
    except (OSError, ValueError):
        pass
    MADE.unlink(missing_ok=True)
    began = time.monotonic()
    made = make(DATA, rows=rows, seed=seed)
    MADE.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    counts = ", ".join(f"{count:,} {name}" for name, count in made["rows"].items())
    return f"{counts}\nmade in {time.monotonic() - began:.1f} s"


def command(*words: object, fails: bool = False) -> str:
    """Runs one command of the command line, shown as one would type it; returns what it said. fails: its check may."""
    typed = [str(word) for word in words]
    say(f"$ featurestore {shlex.join(typed)}")
    began = time.monotonic()
    done = subprocess.run([*CLI, *typed], capture_output=True, text=True, check=False)
    if done.returncode not in ((0, 1) if fails else (0,)):
        raise Failed(f"featurestore {typed[0]} ended with {done.returncode}\n{done.stderr}{done.stdout}")
    took[typed[0]] = time.monotonic() - began
    return done.stdout.rstrip()


CLI = (sys.executable, "-m", "featurestore.cli")
took: dict[str, float] = {}
"""Seconds per command, starting Python included."""


@contextmanager
def server() -> Iterator[str]:
    """A server on a free port; gives its address, and stops it by its process id however the block ends."""
    title("Serve the online store")
    say("$ featurestore serve --port 0")
    with LOG.open("w", encoding="utf-8") as log:  # in a session of its own: Ctrl-C reaches the demo alone, which stops it
        process = subprocess.Popen([*CLI, "serve", "--port", "0"], stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        address = announced(process)
        say(f"{address}, process {process.pid}")
        yield address
    finally:
        stop(process)
    say(f"\nthe server has stopped, with exit code {process.returncode}")


def announced(process: subprocess.Popen[bytes]) -> str:
    """Where the server says it listens."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        text = LOG.read_text(encoding="utf-8")
        for line in text.splitlines():
            if line.startswith("serving on "):
                return line.removeprefix("serving on ")
        if process.poll() is not None:
            raise Failed(f"the server ended with {process.returncode}\n{text}")
        time.sleep(0.05)
    raise Failed(f"the server did not start within {PATIENCE} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def someone() -> tuple[dict[str, Any], float]:
    """The keys of the spine's last row that has all of them, and its amount."""
    import polars as pl

    needed = ["customer_id", "merchant_id", "card_id", "amount"]
    rows: list[dict[str, Any]] = pl.read_parquet(DATA / "spine.parquet").select(needed).drop_nulls().tail(1).to_dicts()
    if not rows:
        raise Failed("no spine row has all keys; try more --rows")
    amount = rows[0].pop("amount")
    return rows[0], amount


def look_up(address: str, entity: Mapping[str, Any], amount: float) -> dict[str, Any]:
    body = {
        "feature_service": SERVICE,
        "entities": {key: [value] for key, value in entity.items()},
        "request": {"amount": [amount]},
        "as_of": WATERMARK,
        "include": ["statuses"],
    }
    url = f"{address}/v1/online-features"
    say(f"POST {url}\n{json.dumps(body, ensure_ascii=False)}")
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as refused:
        raise Failed(f"the server answered {refused.code}: {refused.read().decode()}") from None
    say(f"200 OK\n{json.dumps(answer, ensure_ascii=False)}")
    return answer


def seen(url: str) -> int:
    """The size of a page, which has to be there."""
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return len(response.read())
    except urllib.error.HTTPError as refused:
        raise Failed(f"{url} is answered {refused.code}") from None


def compare(row: Mapping[str, Any], online: Mapping[str, Any]) -> None:
    """One spine row, asked offline with the cut-off of the online store: every value and status has to be the same."""
    import polars as pl

    asked, answered = DEMO / "one_row.parquet", DEMO / "one_row_with_features.parquet"
    instant = pl.Series("as_of", [WATERMARK]).str.to_datetime(time_unit="us", time_zone="UTC")
    pl.DataFrame({key: [value] for key, value in row.items()}).with_columns(instant).write_parquet(asked)
    command("build", SERVICE, "--spine", asked, "--output", answered, "--known-before", WATERMARK, "--include", "status")
    offline = pl.read_parquet(answered).to_dicts()[0]
    say(f"\n{'feature':<40}{'online':<20}{'offline':<20}")
    different = []
    for name, value, status in zip(online["feature_names"], online["rows"][0], online["statuses"][0], strict=True):
        here, there = (as_json(offline[name]), offline[f"{name}__status"]), (as_json(value), status)
        say(f"{name:<40}{there[0]:<20}{here[0]:<20}{'equal' if here == there else 'DIFFERENT'}")
        different += [name] if here != there else []
    if different:
        raise Failed(f"the online store and the files differ in {', '.join(different)}")
    say(f"{len(online['feature_names'])} values and their statuses, all equal")


def as_json(value: Any) -> str:
    """A value as the server writes it: a decimal is text."""
    return json.dumps(value, default=str, ensure_ascii=False)


# What it prints.


def title(text: str) -> None:
    say(f"\n== {text}")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
