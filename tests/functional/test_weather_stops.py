"""The story of the weather feed that stops, on the real data: who notices and when, and that the board shows it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from starlette.testclient import TestClient

from featurestore import FeatureStore
from featurestore.server import create_app
from tests.functional.examples import load
from tests.needs import ROOT

FEED = "freshness of source weather"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return load("weather_stops")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the example: what the story makes lies in it."""
    story = ROOT / "examples" / "weather_stops"
    shutil.copytree(story, tmp_path / "story", ignore=shutil.ignore_patterns("data", ".featurestore", "__pycache__"))
    return tmp_path / "story"


@pytest.mark.slow
def test_the_feed_that_stops_is_noticed_told_once_and_shown(
    example: ModuleType, real_data: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime(2026, 11, 26, 18, 30, tzinfo=UTC)
    looks = example.main(real_data, project, now)
    opened = [(number, str(key)) for number, found in enumerate(looks) for key in found.opened]
    assert opened == [(5, FEED)], "110 minutes after the last row, and not once more"
    assert [len(found.open) for found in looks] == [0, 0, 0, 0, 0, 1, 1]
    printed = capsys.readouterr().out
    assert "the feed stopped: 110m since the last row" in printed
    assert "26 Nov 18:00      expired" in printed

    store = FeatureStore(project)
    app = create_app(store.reader, root=project, config=store.config)
    with TestClient(app, base_url="http://127.0.0.1:8000") as server:
        board = server.get("/freshness", headers={"accept": "text/html"}).text
        source = server.get("/sources/weather", headers={"accept": "text/html"}).text
        first = server.get("/", headers={"accept": "text/html"}).text
    assert board.index("the feed stopped") < board.index("departures")
    assert "the feed stopped" in source
    assert "airport_weather" in source
    assert "1 open alert" in first

    time, moved = example.Time(now), (now - example.END) // example.HOUR * example.HOUR
    written = {"weather": example.STOPS + moved, "departures": example.END + moved}
    airports = example.Airports(real_data, project, moved, written)
    for feed in airports.feeds:
        airports.arrive(feed, time.instant)
    assert [str(key) for key in example.look(project, time).resolved] == [FEED], "the feed is back"
