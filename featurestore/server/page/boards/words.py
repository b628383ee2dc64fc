"""Numbers, spans of time and states as boards say them."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.intervals import in_words
from featurestore.monitoring.results import ALERT, OK, SKIPPED, WARNING
from featurestore.server.page.render import instant

NOTHING = "–"


@dataclass(frozen=True)
class State:
    """How something is: a class of the style sheet, a sign and a word, so that no colour is needed to tell."""

    name: str
    sign: str
    word: str

    def saying(self, word: str) -> State:
        return State(self.name, self.sign, word)


STATES = {
    OK: State("ok", "✓", "ok"),
    WARNING: State("warning", "▲", "warning"),
    ALERT: State("alert", "✖", "alert"),
    SKIPPED: State("skipped", "○", "not compared"),
}


def state(status: str) -> State:
    """Of a result's status; one that is not known is shown as it is."""
    return STATES.get(status, State("skipped", "?", status))


def span(seconds: float | None) -> str:
    """A length of time in its two greatest units: "3 h 5 min"."""
    if seconds is None:
        return NOTHING
    words = in_words(round(abs(seconds)))
    return ("−" if seconds < 0 and words else "") + (words or f"{abs(seconds):.3g} s")


def short(number: float | None) -> str:
    """A number in about three digits."""
    if number is None:
        return NOTHING
    if number == int(number) and abs(number) < 1e9:
        return f"{int(number):,}"
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.3g}"


def percent(share: float | None) -> str:
    """A share of one, as percent; what is not nothing is never told as nothing."""
    if share is None:
        return NOTHING
    if 0 < share < 0.0001:
        return "below 0.01 %"
    return f"{100 * share:.3g} %"


def text(told: object, most: int = 80) -> str:
    """Any value of a result on one line of at most `most` characters."""
    said = "NULL" if told is None else str(told).lower() if isinstance(told, bool) else str(told)
    said = " ".join(said.split())
    return said if len(said) <= most else said[: most - 1] + "…"


__all__ = ["NOTHING", "STATES", "State", "instant", "percent", "short", "span", "state", "text"]
