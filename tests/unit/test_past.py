"""What is remembered of generations that are live no more: their source state, told by that of the next one."""

from __future__ import annotations

import random
from typing import Any

from featurestore.intervals import MICROS_PER_DAY
from featurestore.online import past
from featurestore.online.generations import Generation, generation, past_generations, publish, turn_back
from featurestore.online.memory import MemoryStore
from featurestore.server.page.live import Documents


def entry(number: int) -> dict[str, Any]:
    return {"path": f"{number}.parquet", "size": number, "sha256": f"{number:064x}"}


def made(number: int, state: list[int], *, view: str = "v", fingerprint: str = "f", day: int | None = None) -> Generation:
    watermark = (number if day is None else day) * MICROS_PER_DAY
    return Generation(view, fingerprint, number, watermark, 0, f"{view}@{number}", 0, (), tuple(map(entry, state)), {}, log="l")


def published(*generations: Generation, views: dict[str, str] | None = None) -> MemoryStore:
    store = MemoryStore()
    for one in generations:
        store.write(lambda batch, one=one: publish(batch, one, {}, views or {"v": "f", "w": "f"}))
    return store


def told(store: MemoryStore, view: str = "v", fingerprint: str = "f") -> list[tuple[int, list[int]]]:
    with store.read() as snapshot:
        live = generation(snapshot, view, fingerprint)
        assert live is not None
        return [(one.number, [e["size"] for e in one.state]) for one in past_generations(snapshot, live)]


def test_a_state_told_by_another_is_the_same_again():
    rng = random.Random(0)
    for _ in range(300):
        one, other = ([entry(rng.randrange(12)) for _ in range(rng.randrange(9))] for _ in range(2))
        assert list(past.whole(past.in_common(one, other), other)) == one
    whole = [entry(i) for i in range(1_000)]
    assert past.in_common(whole[:-1], whole) == [[0, 999]]


def test_every_generation_is_told_with_its_own_state_newest_first():
    states = [[1], [1, 2], [1, 2, 3], [4], [4, 1], [4, 1]]
    store = published(*(made(i, state) for i, state in enumerate(states, 1)), made(9, [7], view="w"), made(10, [8], view="w"))
    assert told(store) == [(i, states[i - 1]) for i in (5, 4, 3, 2, 1)]
    assert told(store, "w") == [(9, [7])]


def test_one_that_was_turned_back_is_told_too():
    store = published(made(1, [1]), made(2, [1, 2]))
    store.write(lambda batch: turn_back(batch, made(2, [1, 2]), made(1, [1])))
    assert told(store) == [(2, [1, 2])]
    assert shown(store) == {"v": [2]}, "what is live again is not replaced"
    store.write(lambda batch: publish(batch, made(3, [1, 3]), {}, {"v": "f"}))
    store.write(lambda batch: publish(batch, made(4, [3]), {}, {"v": "f"}))
    assert told(store) == [(3, [1, 3]), (2, [1, 2]), (1, [1])]
    assert shown(store) == {"v": [3, 2, 1]}


def shown(store: MemoryStore) -> dict[str, list[int]]:
    """The generations that pages tell as replaced."""
    with store.read() as snapshot:
        return {view: [number for number, _ in told] for view, told in Documents.of(snapshot).read().past.items()}


def test_a_view_that_is_live_by_two_definitions_is_told_by_both():
    waits = {"instances": [{"view": "v", "fingerprint": "f"}, {"view": "not there yet", "fingerprint": "f"}]}
    store = MemoryStore()
    for number, fingerprint in enumerate(("f", "f", "g", "g"), 1):
        one = made(number, [number], fingerprint=fingerprint)
        store.write(lambda batch, one=one: publish(batch, one, {"s": waits}, {"v": "g"}))
    assert shown(store) == {"v": [3, 1]}


def test_those_of_another_definition_and_those_long_past_are_forgotten():
    days = [0, 1, past.SPAN // MICROS_PER_DAY, past.SPAN // MICROS_PER_DAY + 1]
    store = published(*(made(i, [i], day=day) for i, day in enumerate(days, 1)))
    assert [number for number, _ in told(store)] == [3, 2]
    store.write(lambda batch: publish(batch, made(9, [9], fingerprint="g", day=90), {}, {"v": "g"}))
    with store.read() as snapshot:
        assert list(snapshot.scan(past.TABLE)) == []
