"""The catalogue: whole after it was kept, bounded in size, made again only when something has changed, no part of meaning."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, agg, catalogue, latest
from featurestore.catalogue import kept, making
from featurestore.online.generations import sweep_tables
from featurestore.online.memory import MemoryStore
from featurestore.plan.columns import view_lineage


def store(**words: Any) -> FeatureStore:
    import pyarrow as pa

    rows = pa.table({"id": [1], "at": pa.array([10**15], pa.timestamp("us", "UTC")), "a": [1.0], "b": ["x"]})
    source = ArrowSource(name="s", table=rows, event_timestamp="at", delay="0s")
    entity = Entity(name="e", join_keys=["id"])
    view = FeatureView(
        name="v", entities=[entity], source=source, where="b = 'x'", ttl="3d",
        features=[latest("b"), agg.sum("a", window="7d", name="total"), agg.count(window="1h", offset="1h", name="n")], **words,
    )  # fmt: skip
    return FeatureStore(definitions=[FeatureService(name="one", features=[view])])


def kept_in(online: MemoryStore) -> catalogue.Catalogue:
    with online.read() as snapshot:
        raw = catalogue.raw_of(snapshot)
        assert raw is not None
        assert catalogue.raw_of(snapshot, raw) is raw
    return catalogue.read(raw)


def test_what_is_kept_is_what_was_made() -> None:
    bound, online = store(description="Words.", owner="me", tags={"a": "b"}).bound, MemoryStore()
    made = making.document(bound)
    assert catalogue.keep(online, "1", lambda: made)
    found = kept_in(online)
    assert [e.ref for e in found] == [
        ("service", "one"), ("feature", "v/b"), ("feature", "v/n"), ("feature", "v/total"), ("view", "v"), ("source", "s"),
        ("entity", "e"),
    ]  # fmt: skip
    view = found.get("view", "v")
    assert view is not None
    assert (view.description, view.owner, view.tags) == ("Words.", "me", {"a": "b"})
    assert view.facts["fingerprint"] == bound.views["v"].fingerprint
    assert view.facts["ttl"] == 3 * 86_400_000_000
    assert [f.title for f in found.features("v")] == ["b", "total", "n"]
    assert "ASOF" in view.texts["sql"] or "SELECT" in view.texts["sql"]
    assert [e.name for e in found.used_by(view)] == ["one"]


def test_lineage_is_that_of_the_plan() -> None:
    bound = store().bound
    entries = {entry["name"]: entry for entry in making.document(bound)["entries"]}
    for name, columns in view_lineage(bound.views["v"]).items():
        told = {
            (source, column, role) for source, column, roles in entries[f"v/{name}"]["facts"]["comes_from"] for role in roles
        }
        assert told == {tuple(column) for column in columns}


def test_it_is_made_anew_when_words_or_meaning_change_and_else_not() -> None:
    online = MemoryStore()

    def keeps(one: FeatureStore) -> bool:
        return catalogue.keep(online, making.outline(one.bound), lambda: making.document(one.bound))

    assert keeps(store())
    assert not keeps(store())
    assert keeps(store(description="other words"))
    assert not keeps(store(description="other words"))


def test_words_and_catalogue_are_no_part_of_meaning() -> None:
    plain, told = store().bound, store(description="Words.", owner="me", tags={"a": "b"}).bound
    assert plain.to_manifest() == told.to_manifest()
    assert making.outline(plain) != making.outline(told)


def test_it_holds_no_path_of_this_machine_and_nothing_but_json() -> None:
    text = json.dumps(making.document(store().bound))
    assert "/tmp" not in text
    assert "/home" not in text
    assert "/work" not in text


def test_a_sweep_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    online = MemoryStore()
    catalogue.keep(online, "1", lambda: making.document(store().bound))
    sweep_tables(online)
    assert kept_in(online).get("service", "one")


def test_what_is_too_long_loses_its_longest_texts_first(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{"kind": "service", "name": f"s{n}", "texts": {"sql": "x" * 1_000 * n, "plan": "p"}} for n in range(1, 11)]
    monkeypatch.setattr(kept, "MOST_BYTES", 40_000)
    body = kept.packed({"format": 1, "entries": entries})
    assert len(zlib.decompress(body)) <= 40_000
    found = catalogue.read(catalogue.Raw("x", body))
    assert [entry.name for entry in found if "sql" not in entry.texts] == ["s10", "s8", "s9"]
    assert all(entry.texts["plan"] == "p" for entry in found)


def test_a_document_that_swells_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 1_000)
    bomb = zlib.compress(b" " * 10_000_000)
    for body in (bomb, b"", b"x", zlib.compress(b"[]" * 10)[:-3]):
        with pytest.raises(ValueError):
            catalogue.read(catalogue.Raw("x", body))


def test_a_newer_catalogue_is_neither_read_nor_written_over() -> None:
    online = MemoryStore()
    online.write(lambda batch: batch.put_meta("catalogue", json.dumps({"format": 2, "outline": "o", "digest": "d"}).encode()))
    assert not catalogue.keep(online, "1", lambda: {"entries": []})
    with online.read() as snapshot:
        assert catalogue.raw_of(snapshot) is None


def test_the_manifest_tells_what_the_document_tells_of_meaning() -> None:
    bound = store().bound
    whole = catalogue.read(catalogue.Raw("x", kept.packed(making.document(bound))))
    known = catalogue.of_manifest(bound.to_manifest())
    for entry in known:
        other = whole.get(entry.kind, entry.name)
        assert other is not None
        for name, fact in entry.facts.items():
            assert name == "entities" or other.facts[name] == fact or entry.kind == "source", (entry.ref, name)
    assert not known.complete


def test_entries_compare_by_what_they_say() -> None:
    entry = catalogue.Entry("view", "v")
    assert replace(entry, description="x").words == "v\nx\n"
