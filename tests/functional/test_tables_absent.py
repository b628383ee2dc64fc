"""Where a table, its catalog or its library is not there, definitions can still be reviewed, and nothing else is done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from featurestore.errors import StoreError
from tests.functional.conftest import Cli
from tests.tables import Warehouse, delta, facts, open_delta, open_iceberg, write

REGISTRY = """
from featurestore import DeltaSource, Entity, FeatureService, FeatureView, IcebergSource, agg, latest

facts = DeltaSource(name="facts", path="t", event_timestamp="e", delay="0s")
rows = IcebergSource(name="rows", table="db.t", event_timestamp="e", delay="0s")
key = Entity(name="key")
one = FeatureView(name="one", entities=[key], source=facts, features=[latest("v")])
two = FeatureView(name="two", entities=[key], source=rows, features=[agg.sum("v", window="1d")])
service = FeatureService(name="service", features=[one, two])
"""


def test_definitions_are_reviewed_by_their_committed_types(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(tmp_path / "lake", monkeypatch)
    warehouse.write(facts(0))
    folder = tmp_path / "project"
    (folder / "registry").mkdir(parents=True)
    (folder / "registry" / "all.py").write_text(REGISTRY)
    (folder / "featurestore.toml").write_text('[project]\nname = "reviewed"\n')
    write(folder / "t", facts(0))
    assert cli("compile", "--project", folder).code == 0
    (folder / "t").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("PYICEBERG_CATALOG__DEFAULT__URI", "sqlite:////nowhere/catalog.db")
    assert cli("compile", "--check", "--project", folder).code == 0
    checked = cli("check", "--project", folder)
    assert checked.code == 0, checked.err
    assert "there is no Delta table t" in checked.out + checked.err
    assert "cannot be asked" in checked.out + checked.err
    (tmp_path / "spine.csv").write_text("key,as_of\n0,2026-01-02T00:00:00Z\n")
    built = cli("build", "service", "--spine", tmp_path / "spine.csv", "--output", tmp_path / "o.parquet", "--project", folder)
    assert built.code == 4
    assert "FS367" in built.err
    assert not (tmp_path / "o.parquet").exists()


@pytest.mark.parametrize(("module", "extra"), [("deltalake", "delta"), ("pyiceberg.exceptions", "iceberg")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert delta().kind == "source"  # a definition needs no library
    monkeypatch.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith("pyiceberg.utils.config")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(StoreError) as caught:
        open_delta(tmp_path) if extra == "delta" else open_iceberg(tmp_path)
    assert caught.value.code == "FS480"
    assert f"featurestore[{extra}]" in caught.value.hint
