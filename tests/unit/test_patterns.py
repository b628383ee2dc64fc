"""Patterns mean the same to our matcher, to Python, to DuckDB and to Arrow; what could not is refused."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from random import Random

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from featurestore import patterns
from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import DefinitionError

PATTERNS = (
    r"c[0-9]{7}", r"a", r"a|b", r"a|", r"|a", r"(a|ab)(c|bcd)", r"a*", r"a+", r"a?", r"a{2}", r"a{2,}", r"a{1,3}", r"a{0}b",
    r"a{0,1}", r"(?:ab)+", r"(ab|c)*d", r"((a|b)*c)?", r"(a*)*", r"(a*)+b", r"(a?){3}", r"(|a)+", r"()", r".", r"..", r".*",
    r"a.b", r"[abc]", r"[^abc]", r"[a-c]+", r"[^a-c]+", r"[a-]", r"[-a]", r"[^-]", r"[a\-c]", r"[a\]b]", r"[\[]", r"[.*]",
    r"[^\n]", r"[\d_]", r"[^\d]", r"[\D]", r"[\w-]+", r"\d", r"\D", r"\w+", r"\W", r"\s", r"\S", r"\d\D\w\W\s\S", r"[\s\S]*",
    r"\.", r"\\", r"\*", r"\+\?", r"\(\)", r"\[\]", r"\{\}", r"\|", r"\^\$", r"\n", r"\t", r"\r\f\v", r"-", r"a-z", r"/ ,:;@#",
    r"%", r"_", r"'", r'"', r"é", r"[à-ÿ]+", r"[^é]", r"é?", r"😀+", r"[😀-😂]", r"İ", r"ß", r"[^a]{2}",
    r"\-\/\ \~\&", r"[~&|]{1,2}", r"(a|b|c){2}", r"x(?:a|(?:b|c)+)y", r"[a-cx-z0-9]*", r"[\w.+\-]+@[\w\-]+(\.[\w\-]+)+",
    r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", r"[A-Z]{2}\d{2}( ?[A-Z0-9]{4}){2,7}", "\u00a0", "a\x00b", "\n",
)  # fmt: skip
TEXTS = (
    "", "a", "A", "b", "c", "d", "ab", "abc", "abcd", "aab", "aaa", "aaaa", "ba", "abab", "abcc", "ccd", "a\n", "\n", "a\nb",
    "\na",
    "a b", " ", "\t", "\r\f\v", "\x0b", "\x0c", "\r", "c1234567", "c12345678", "c123456", "xc1234567", "c1234567\n", "C1234567",
    "c\u0661234567", "\u0661", "0", "7", "_", "-", "a-z", "]", "[", ".", "*", "+?", "()", "[]", "{}", "|", "^$", "\\",
    "/ ,:;@#",
    "%", "'", '"', "é", "e\u0301", "ée", "É", "àÿ", "ÿ", "😀", "😀😀", "😁", "\ufffd", "\uffff", "\U0010ffff",
    "İ", "i̇", "ß", "ss",
    "\u00a0", "a\x00b", "a\x00", "\x00", "\x7f", "\u2028", "\u0085", "xay", "xbcby", "xy", "x", "9a8 z", "~&", "-/ ~&",
    "a.b+c@d-e.org", "a@b", "2024-02-30", "2024-13-01", "DE89 3704 0044 0532 0130 00", "1a_.\t\na",
)  # fmt: skip


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(Settings(threads=1)) as opened:
        yield opened


def in_python(pattern: str, texts: tuple[str, ...]) -> list[bool]:
    return [re.fullmatch(pattern, text, re.ASCII) is not None for text in texts]


def in_arrow(pattern: str, texts: tuple[str, ...]) -> list[bool]:
    return pc.match_substring_regex(pa.array(texts), rf"\A(?:{patterns.rendered(pattern)})\z").to_pylist()


def in_duckdb(session: Session, pattern: str, texts: tuple[str, ...]) -> list[bool]:
    written = patterns.rendered(pattern).replace("'", "''")
    session.bind("texts", pa.table({"text": texts, "i": range(len(texts))}))
    return session.table(f"SELECT regexp_full_match(text, '{written}') AS found FROM texts ORDER BY i")["found"].to_pylist()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_the_same_to_all(session: Session, pattern: str) -> None:
    ours = [patterns.matches(pattern, text) for text in TEXTS]
    assert ours == in_python(pattern, TEXTS)
    assert ours == in_duckdb(session, pattern, TEXTS)
    assert ours == in_arrow(pattern, TEXTS)


def test_random_patterns_mean_the_same_to_all(session: Session) -> None:
    rng = Random(7)
    met = 0
    for _ in range(300):
        pattern = random_pattern(rng, 3) or "a"
        texts = tuple("".join(rng.choice("aab\n-é") for _ in range(rng.randrange(6))) for _ in range(30))
        ours = [patterns.matches(pattern, text) for text in texts]
        met += any(ours) and not all(ours)
        assert ours == in_python(pattern, texts) == in_duckdb(session, pattern, texts) == in_arrow(pattern, texts), pattern
    assert met > 100


def random_pattern(rng: Random, depth: int) -> str:
    atoms = ["a", "b", "é", ".", r"\w", r"\W", "[^a]", "[a-b]", r"[\n-]", r"\-"]
    if depth:
        one, other, third = (random_pattern(rng, depth - 1) for _ in range(3))
        atoms += [f"({one}|{other})", f"(?:{third})"]
    return "".join(
        rng.choice(atoms) + rng.choice(["", "", "*", "+", "?", "{2}", "{1,}", "{0,2}"]) for _ in range(rng.randrange(4))
    )


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("", "''"), (7, "7"), ("^a", "anchor ^"), ("a$", "anchor $"), (r"\ba", r"\b"), (r"\Ba", r"\B"), (r"\Aa", r"\A"),
        (r"(a)\1", r"\1"), ("(?=a)", "(?="), ("(?!a)", "(?!"), ("(?<=a)b", "(?<"), ("(?P<x>a)", "(?P"), ("(?i)a", "(?i"),
        ("(?>a)", "(?>"), ("a*?", "followed by ?"), ("a++", "followed by +"), ("a??", "followed by ?"), ("a{2}{3}",
        "followed by {"),
        ("a**", "followed by *"), (r"\p{L}", r"\p"), (r"\x41", r"\x"), (r"\u0041", r"\u"), (r"\Z", r"\Z"), (r"\z", r"\z"),
        ("a{", "a {"), ("a{,3}", "a {"), ("a{x}", "a {"), ("{3}", "a {"), ("a}", "a }"), ("a]", "a ]"), ("*a", "a *"), ("|+",
        "a +"),
        ("[a", "never closed"), ("[]a]", "begins with ]"), ("[^]a]", "begins with ]"), ("[[:alpha:]]", "a [ in a class"),
        ("[b-a]", "range"),
        (r"[a-\d]", "range"), (r"[\d-a]", "range"), ("(a", "never closed"), ("a)", "closes nothing"), ("a\\", "at the end"),
        (r"[\b]", r"\b"),
        ("a{3,2}", "{3,2}"), ("a{1001}", "counts out"), ("(a{100}){11}", "counts out"), (r"\é", r"\é"), ("a{99999}", "a {"),
        (r"\0", r"\0"),
    ],
)  # fmt: skip
def test_what_does_not_mean_the_same_to_all_is_refused_by_name(pattern: str, named: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        patterns.parse(pattern)
    assert caught.value.code == "FS224"
    assert named in caught.value.what


@pytest.mark.parametrize("pattern", ["a{1000}", "(a{10}){100}", "(a{0,10}){100}", "(a|b){500}", "(a+){1000}", "(){1000}"])
def test_the_largest_patterns_that_are_allowed_are_not_too_large_for_an_engine(session: Session, pattern: str) -> None:
    texts = ("", "a" * 100, "a" * 101) if "+" in pattern or "," in pattern else ("", "a" * 500, "a" * 1000, "a" * 1001)
    assert [patterns.matches(pattern, text) for text in texts] == in_duckdb(session, pattern, texts) == in_arrow(pattern, texts)


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a|aa)+b", "a*a*a*a*a*b", "(.*){20}b", "(a|b)*a(a|b){30}"])
def test_no_text_makes_a_pattern_slow(pattern: str) -> None:
    begun = time.monotonic()
    assert not patterns.matches(pattern, "a" * 20_000 + "c")
    assert time.monotonic() - begun < 2


def test_a_text_beyond_what_a_matcher_remembers_is_matched_all_the_same() -> None:
    rng = Random(1)
    text = "".join(rng.choice("ab") for _ in range(12_000))
    assert patterns.matches("(a|b)*a(a|b){12}", text) is (text[-13] == "a")


@pytest.mark.parametrize(
    ("pattern", "written"),
    [(r"c[0-9]{7}", r"c[0-9]{7}"), (r"(a|b)+\d", r"(?:a|b)+[0-9]"), (".", r"[^\x{A}]"), (r"a\.b|c", r"a\.b|c"), ("(ab)", "ab")],
)
def test_a_pattern_is_written_out_for_those_who_read_the_sql(pattern: str, written: str) -> None:
    assert patterns.rendered(pattern) == written
