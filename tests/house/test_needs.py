"""A missing piece is never silent: the test that needs it skips by name, or fails where the piece was promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import needs

ABSENT = "no-such-program"


@pytest.fixture(autouse=True)
def _nothing_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEATURESTORE_REQUIRE", raising=False)
    monkeypatch.delenv("FEATURESTORE_DATA", raising=False)


def test_a_program_that_is_there_is_given_by_path(require):
    assert Path(require("sh")).is_file()


def test_a_missing_program_skips_with_its_name(require):
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        require(ABSENT)


@pytest.mark.parametrize("promised", [ABSENT, f"git,{ABSENT}"])
def test_a_missing_program_that_was_promised_fails(require, monkeypatch, promised):
    monkeypatch.setenv("FEATURESTORE_REQUIRE", promised)
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed, and FEATURESTORE_REQUIRE lists"):
        require(ABSENT)


def test_a_promise_is_read_by_whole_names(require, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_REQUIRE", f"{ABSENT}-2")
    with pytest.raises(pytest.skip.Exception):
        require(ABSENT)


def test_real_data_is_the_folder_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATURESTORE_DATA", str(tmp_path))
    assert needs.real_data() == tmp_path


def test_real_data_is_looked_for_beside_the_project(monkeypatch, tmp_path):
    monkeypatch.setattr(needs, "ROOT", tmp_path / "project")
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert needs.real_data() == tmp_path / "shared" / "data"


def test_missing_real_data_skips_and_fails_where_promised(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATURESTORE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(pytest.skip.Exception, match="nowhere is not a folder"):
        needs.real_data()
    monkeypatch.setenv("FEATURESTORE_REQUIRE", "data")
    with pytest.raises(pytest.fail.Exception, match="nowhere is not a folder"):
        needs.real_data()
