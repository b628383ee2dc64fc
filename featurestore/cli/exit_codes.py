"""What exit codes mean, and of each command what it changes and what it does when it is given again: for those that run
commands unattended. The reference is generated from here; a test gives each command twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Meaning(NamedTuple):
    """again: whether the same command may end otherwise when nothing is changed by hand."""

    title: str
    again: str


EXIT_CODES: Mapping[int, Meaning] = {
    0: Meaning("done, or nothing to do", ""),
    1: Meaning("a check ran and failed", "no: look at what differs"),
    2: Meaning("a name, an option or a setting typed wrong", "no"),
    3: Meaning("a definition that cannot mean anything", "no"),
    4: Meaning("content of a source or spine, or a file that is missing", "no, unless files are still to come"),
    5: Meaning("the store or the machine: a lock, the disk, the network; or a defect of this program", "yes, after a while"),
    130: Meaning("interrupted by Ctrl-C (SIGINT); nothing is half-written", "yes"),
    141: Meaning("whoever read stdout has gone", "yes"),
    143: Meaning("terminated by SIGTERM; nothing is half-written", "yes"),
}


class Effect(NamedTuple):
    """changes: what the command writes, "" for nothing. twice: what the same command does then. fails: what exit 1 means."""

    changes: str = ""
    twice: str = ""
    fails: str = ""


EFFECTS: Mapping[str, Effect] = {
    "init": Effect("the new folder", "exit 2: the folder is taken"),
    "check": Effect(),
    "compile": Effect("`sql/`", "the same bytes", "`--check`: `sql/` is stale"),
    "explain": Effect(),
    "lineage": Effect("the picture of `--svg`", "the same bytes"),
    "build": Effect("OUTPUT, its manifest and its profile", "the same bytes"),
    "rebuild": Effect("OUTPUT, its manifest and its profile", "the same bytes", "`--verify`: the bytes are not the same"),
    "diff": Effect(fails="the two differ"),
    "profile": Effect(),
    "backfill": Effect("FOLDER", "nothing: what is up to date is left alone"),
    "materialize": Effect("the online store", "the same records at the same watermark; an earlier watermark changes nothing"),
    "get": Effect(),
    "serve": Effect(),
    "keys": Effect("the file of API keys", "`add` makes another key, `revoke` then finds none (exit 2)"),
    "push": Effect("a push log, the online store", "versions of the same facts: the same answers, known later"),
    "compact": Effect("a push log", "nothing is left to fold"),
    "status": Effect(),
    "rollback": Effect("the online store", "goes back once more; with `--from` nothing"),
    "gc": Effect("the online store, leftovers", "nothing is left to drop"),
    "forget": Effect("the online store, push logs", "nothing is left to forget"),
    "verify": Effect(fails="cells differ, or none could be compared"),
    "audit": Effect("the report of `--output`", "the same", "a cell is not what could be known"),
    "prove": Effect(fails="a cell moved, or nothing could be proven"),
    "influence": Effect(),
    "drift": Effect(
        "the report of `--output`, results by `--record`", "the same, and looked at later", "a feature has drifted"
    ),
    "performance": Effect("results by `--record`", "the same, looked at later", "a day breaks a threshold"),
    "freshness": Effect(fails="a watermark is too old, or a source is not as usual"),
    "monitor": Effect("`[monitor] path`", "looks again; what was told is not told twice", "`--once`: an alert is open"),
    "should-retrain": Effect(fails="the policy says: retrain"),
}
"""By command, in the order of the command line."""
