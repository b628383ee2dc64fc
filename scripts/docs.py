"""Write docs/reference/: what can be told from the code is told from the code, so that it cannot be out of date.

    python scripts/docs.py            write the pages
    python scripts/docs.py --check    write nothing; name the stale pages and exit 1

A page depends on the sources alone: not on the machine, the day, or the versions of libraries.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
sys.path.insert(0, str(ROOT))


# Markdown.


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a pipe inside a cell is escaped."""
    lines = [list(header), ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines)


def code(text: object) -> str:
    """Text as inline code, also if it holds backticks."""
    text = str(text)
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def fenced(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def plain(text: str) -> str:
    """Text that Markdown must not take for markup."""
    return re.sub(r"([\\`*_<>\[\]])", r"\\\1", text)


def page(title: str, source: str, parts: Iterable[str]) -> str:
    head = f"<!-- Written by `make docs` from {source}. Edit that, not this page. -->\n\n# {title}"
    return "\n\n".join([head, *(part.rstrip() for part in parts if part.strip())]) + "\n"


# Docstrings.

_SECTION = re.compile(r"(?:^|(?<=\. ))(Args|Attributes|Returns|Raises):\s*", re.MULTILINE)
_ARGUMENT = re.compile(r"^\**[a-z_]+(?:, \**[a-z_]+)*: ")


def described(text: str | None) -> Iterator[str]:
    """A docstring as Markdown: its prose, then a list of arguments, then what is returned and raised."""
    pieces = _SECTION.split(inspect.cleandoc(text or ""))
    yield _prose(pieces[0])
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if name in ("Args", "Attributes"):
            yield "\n".join(f"- {_argument(entry)}" for entry in _entries(body))
        else:
            yield f"*{name}:* {_prose(body)}"


def _prose(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(_safe(" ".join(paragraph.split())) for paragraph in paragraphs if paragraph)


def _safe(text: str) -> str:
    """Prose: only angle brackets and asterisks outside of code need care."""
    return re.sub(r"(`[^`]*`)|([<>*])", lambda m: m[1] or f"\\{m[2]}", text)


def _entries(body: str) -> Iterator[str]:
    """Arguments, each with its continuation lines; several may stand on one line."""
    entry = ""
    for line in re.sub(r"(?<=[.)]) (?=[a-z_]+: )", "\n", inspect.cleandoc(body)).splitlines():
        if _ARGUMENT.match(line) and entry:
            yield entry
            entry = ""
        entry = f"{entry} {line.strip()}".strip()
    if entry:
        yield entry


def _argument(entry: str) -> str:
    names, _, text = entry.partition(": ")
    return f"`{names}`: {_safe(text)}" if _ARGUMENT.match(entry) else _safe(entry)


# The command line.


def cli() -> str:
    import typer

    from featurestore.cli.app import HELP, application

    group: Any = typer.main.get_command(application())
    parts = [_help_text(HELP), "Every command takes these options:", _options(_common(group))]
    for name, command in group.commands.items():
        parts += [f"## {name}", fenced(_usage(name, command)), _help_text(command.help)]
        arguments = [p for p in command.params if _is_argument(p)]
        if arguments:
            parts.append(table(("argument", "meaning"), ((code(_metavar(p)), _safe(p.help or "")) for p in arguments)))
        own = [p for p in command.params if not _is_argument(p) and p.name not in _COMMON]
        if own:
            parts.append(_options(own))
    return page("Command line", "the commands in featurestore/cli", parts)


_COMMON = ("project", "as_json", "verbose", "quiet")


def _common(group: Any) -> list[Any]:
    first = next(iter(group.commands.values()))
    return [p for p in first.params if p.name in _COMMON]


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _metavar(parameter: Any) -> str:
    return re.sub(r"[\[\]]|\.\.\.$", "", (parameter.metavar or parameter.name.upper()).replace("...]", "")).removesuffix("...")


def _usage(name: str, command: Any) -> str:
    arguments = [_metavar(p) if p.required else f"[{_metavar(p)}]…" for p in command.params if _is_argument(p)]
    needed = [f"{p.opts[-1]} {_metavar(p)}" for p in command.params if not _is_argument(p) and p.required]
    return " ".join(["featurestore", name, *arguments, *needed, "[OPTIONS]"])


def _options(parameters: Iterable[Any]) -> str:
    return table(("option", "meaning", "default"), (_option(p) for p in parameters))


def _option(parameter: Any) -> tuple[str, str, str]:
    flag = getattr(parameter, "is_flag", False)
    spelled = ", ".join(parameter.opts) + ("" if flag else f" {_metavar(parameter)}")
    default = "" if flag or parameter.default in (None, ()) else code(parameter.default)
    return code(spelled), _safe(parameter.help or ""), "required" if parameter.required else default


def _help_text(text: str) -> str:
    r"""A help text: paragraphs, and those after \b as they stand."""
    shown = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.startswith("\b"):
            title, *lines = paragraph.removeprefix("\b").strip("\n").splitlines()
            body = textwrap.dedent("\n".join(lines))
            shown.append(f"{title}\n\n{fenced(body, 'console')}" if title == "Example:" else _safe(" ".join([title, *lines])))
        else:
            shown.append(_safe(" ".join(paragraph.split())))
    return "\n\n".join(shown)


# Settings.


def config() -> str:
    from featurestore.config import FILE_NAME, Config

    prefix, nested = Config.model_config["env_prefix"], Config.model_config["env_nested_delimiter"]
    parts = [
        f"Settings stand in `{FILE_NAME}`, whose presence makes a folder a project. Every key has a default, so "
        "`[project]` with a `name` is a valid file. An option of the command line goes over an environment variable, and "
        "that over the file. An unknown key is an error (`FS107`)."
    ]
    for section, field in Config.model_fields.items():
        keys = getattr(field.annotation, "model_fields", None)
        if keys is None:
            continue
        start = f"{prefix}{section}{nested}"
        rows = [
            (code(key), _kind(f), code(_toml(f.default)), _safe(f.description or ""), code(f"{start}{key}".upper()))
            for key, f in keys.items()
        ]
        parts += [f"## [{section}]", table(("key", "type", "default", "meaning", "environment"), rows)]
    formats = Config.model_fields["format"]
    parts += [
        "## format",
        f"`format = {formats.default}` at the head of the file names the version of its format; it may be left out. A file of "
        "a newer format is refused, naming the version that is needed.",
    ]
    return page("Settings", "featurestore/config.py", parts)


def _kind(field: Any) -> str:
    kind = str(getattr(field.annotation, "__name__", field.annotation)).replace(" | None", "")
    bounds = [text for constraint in field.metadata for text in _bound(constraint)]
    return ", ".join([kind, *bounds])


def _bound(constraint: Any) -> Iterator[str]:
    for name, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        if getattr(constraint, name, None) is not None:
            yield f"{words} {getattr(constraint, name)}"
    pattern = getattr(constraint, "pattern", None)
    if pattern and re.fullmatch(r"\^\(?[a-z|]+\)?\$", pattern):
        yield "one of " + ", ".join(code(choice) for choice in pattern.strip("^$()").split("|"))


def _toml(value: object) -> str:
    return "none" if value is None else f'"{value}"' if isinstance(value, str) else str(value).lower()


# Errors.

_GROUPS = {
    "1": ("The command line", "exit 2; FS111 is a failed check, exit 1"),
    "2": ("Definitions", "exit 3"),
    "3": ("Data", "exit 4"),
    "4": ("The store and the machine", "exit 5; HTTP 503"),
    "5": ("Requests to the online store", "exit 2; HTTP 4xx, 500 and 503"),
    "9": ("The program itself", "exit 5; FS902 is an interruption, exit 130"),
}


def errors() -> str:
    from featurestore.error_codes import CODES

    parts = [
        "Every error names its code, what is wrong, where, what would have been accepted, and what to try:",
        fenced(
            "FS203 unknown feature 'amount_sum_30' · in registry/views.py:14 · known: amount_sum_30d, … · try amount_sum_30d"
        ),
        "With `--json`, and over HTTP as `application/problem+json`, the same parts come as fields. The first digit says where "
        "to look.",
        table(("codes", "about", "exit code"), ((f"FS{d}xx", f"[{t}](#{anchor(t)})", e) for d, (t, e) in _GROUPS.items())),
    ]
    for digit, (title, _) in _GROUPS.items():
        parts.append(f"## {title}")
        for name, explained in CODES.items():
            if name[2] == digit:
                parts += [
                    f'<a id="{name.lower()}"></a>\n### {name}: {explained.title}',
                    _safe(explained.cause),
                    fenced(f"{name} {explained.example}"),
                    f"**Cure.** {_safe(explained.cure)}",
                ]
    return page("Error codes", "featurestore/error_codes.py", parts)


def anchor(title: str) -> str:
    """The anchor that a heading gets where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


# Expressions.


def expressions() -> str:
    from featurestore.expressions import CASTS, OPERATIONS

    parts = [
        "`latest(…)`, `agg.…(…)`, `where=` and on-demand features take a column name or scalar SQL over one row: columns, "
        "constants, and what these tables list. Anything else is refused when the definition is made (`FS215`): other rows, "
        "subqueries, the clock, random numbers.",
        "Inside an expression integers of any width are `int64`, floats and decimals `double`; `string`, `bool`, `date32` and "
        "`timestamp[us, UTC]` stay. Binary and lists can only be tested for NULL. A bare column is not computed with and keeps "
        "its own type. `0.1` is a double.",
        "NULL in gives NULL out, except where the last column says otherwise. An operation without a value gives NULL; of "
        "on-demand features a build counts the rows in which that happened. `where` keeps the rows for which it is true.",
        "## Operations",
        table(
            ("written", "gives", "with NULL"),
            ((code(o.spelling), _safe(o.meaning), _safe(o.nulls)) for o in OPERATIONS.values()),
        ),
        "## Casts",
        "`CAST(a AS DOUBLE)`, or `TRY_CAST`, which means the same here: a failed cast is NULL.",
        table(("from", "to", "gives"), ((code(a), code(b), _safe(meaning)) for (a, b), meaning in CASTS.items())),
        "## Aggregates",
        "`agg.NAME(expression, window=…)` over the facts of a window: see [the catalogue](definitions.md#agg).",
    ]
    return page("Expressions", "the tables in featurestore/expressions.py", parts)


# Spark.


def spark() -> str:
    from featurestore.compiler.spark.refused import DIFFERS, REFUSED
    from featurestore.compiler.spark.types import sql_type
    from featurestore.expressions import OPERATIONS

    parts = [
        "What a definition means is the same on Spark: values, order, types and content hash of a training set. This page "
        "tells what Spark refuses, what may differ as far as the contract allows, and how expressions are written for it.",
        "## Refused",
        "`compile` writes the reason in place of the SQL, and `compile --dialect spark` and `build --engine spark` stop with it"
        ". DuckDB takes all of it.",
        table(
            ("code", "what", "why", "instead"),
            ((f"[{c}](errors.md#{c.lower()})", _safe(r.what), _safe(r.why), _safe(r.instead)) for c, r in REFUSED.items()),
        ),
        "## May differ",
        table(("what", "by how much"), ((code(what), _safe(how)) for what, how in DIFFERS.items())),
        "## Operations",
        "Nothing of it raises, with ANSI mode on or off. `a`, `b` and `c` are columns, whole numbers where numbers will do.",
        table(("written", "in Spark SQL"), ((code(o.spelling), code(_in_spark(name))) for name, o in OPERATIONS.items())),
        "## Types",
        "Spark has no unsigned integers: they are held wider, and get their own type again in the training set.",
        table(("type", "in Spark"), ((code(t), code(sql_type(parse))) for t, parse in _types())),
    ]
    return page("Spark", "the tables in featurestore/compiler/spark/", parts)


def _in_spark(operation: str) -> str:
    """How an operation is spelled over the first columns it takes."""
    from itertools import product

    from featurestore.compiler.spark import scalars
    from featurestore.dtypes import BOOL, DATE, DOUBLE, INT64, STRING, TIMESTAMP
    from featurestore.errors import DefinitionError
    from featurestore.expressions import OPERATIONS, Call, Column, Literal, result_type

    constant = (Literal("[a-z]+"),) if operation == "matches" else ()
    columns = [Column(c) for c in "abc"[: max(OPERATIONS[operation].arity[0], 1 + (OPERATIONS[operation].arity[1] is None))]]
    operands = (*columns[: len(columns) - len(constant)], *constant)
    for kinds in product((INT64, DOUBLE, STRING, BOOL, TIMESTAMP, DATE), repeat=len(columns)):
        types = dict(zip("abc", kinds, strict=False))
        try:
            result_type(Call(operation, operands), types, what="")
        except DefinitionError:
            continue
        return scalars.condition(Call(operation, operands), types, lambda name: name)
    raise AssertionError(operation)


def _types() -> Iterator[tuple[str, Any]]:
    from featurestore.dtypes import INTEGERS, parse_dtype

    names = ("bool", *INTEGERS, "float", "double", "decimal128(18, 2)", "string", "binary", "date32", "timestamp[us, UTC]")
    for name in (*names, "list<double>", "map<string, int64>"):
        yield name, parse_dtype(name)


# Definitions.


def definitions() -> str:
    import featurestore
    from featurestore.client import RemoteFeatures
    from featurestore.definitions.source import Source
    from featurestore.definitions.view import FeatureView
    from featurestore.retrieval.online_features import OnlineFeatures

    parts = [
        "All names come from `featurestore`. Definitions are frozen, take keywords only, and are checked when they are made: "
        "an error names the file and line. `description`, `owner` and `tags` go on every definition and never change what it "
        "means. A duration is a number and a unit (`15m`, `1h`, `30d`, `2w`); months and years have no fixed length and are "
        "refused.",
        *_object("Entity", featurestore.Entity),
        *_object("ParquetSource", featurestore.ParquetSource),
        *described(Source.__doc__),
        *_object("ArrowSource", featurestore.ArrowSource),
        "## expect",
        *described(type(featurestore.expect).__doc__),
        *_methods(type(featurestore.expect), ("between", "one_of", "matches", "not_null", "fresh"), owner="expect"),
        *_object("FeatureView", featurestore.FeatureView),
        *_methods(FeatureView, ("__getitem__", "alias", "with_join_key_map", "with_prefix")),
        *_object("latest", featurestore.latest),
        "## agg",
        *described(type(featurestore.agg).__doc__),
        _catalogue(),
        *_object("OnDemandFeatureView", featurestore.OnDemandFeatureView),
        *_object("LabelView", featurestore.LabelView),
        *_object("FeatureService", featurestore.FeatureService),
        *_object("FeatureStore", featurestore.FeatureStore),
        *_methods(
            featurestore.FeatureStore,
            ("build_training_set", "rebuild", "diff", "push", "compact", "materialize", "get_online_features", "verify"),
            owner="store",
        ),
        *_object("Split", featurestore.Split),
        *_methods(featurestore.Split, ("time", "group", "random"), owner="Split"),
        "## OnlineFeatures",
        "What `get_online_features` returns.",
        *described(OnlineFeatures.__doc__),
        *_methods(OnlineFeatures, ("to_dict", "to_arrow"), owner="found"),
        *_object("Client", featurestore.Client),
        *_methods(featurestore.Client, ("get_online_features", "feature_services", "ready", "push", "close"), owner="client"),
        "## RemoteFeatures",
        *described(RemoteFeatures.__doc__),
        "## AsyncClient",
        *described(featurestore.AsyncClient.__doc__),
    ]
    return page("Definitions and FeatureStore", "docstrings in featurestore/definitions, store.py and client.py", parts)


_STORE = ("build_training_set", "materialize", "get_online_features", "verify")


def _catalogue() -> str:
    """All aggregates, from their table."""
    from featurestore.definitions.aggregation import AGGREGATES, DEFAULT_HISTOGRAM_SIZE

    empty = {None: "NULL", (): "empty"}
    rows = []
    for a in AGGREGATES.values():
        size = {"histogram": f"k={DEFAULT_HISTOGRAM_SIZE}"}.get(a.name, a.parameter)
        taken = ["column" if a.needs_input else "column=None", *([size] if size else []), "window=…"]
        call = code(f"agg.{a.name}({', '.join(taken)})")
        rows.append((call, _safe(a.meaning), a.takes, str(empty.get(a.empty, a.empty))))
    return table(("aggregate", "gives", "takes", "over no facts"), rows)


def _object(name: str, thing: Any) -> list[str]:
    return [f"## {name}", fenced(signature(name, thing), "python"), *described(thing.__doc__)]


def _methods(kind: type, names: Iterable[str], owner: str = "") -> Iterator[str]:
    for name in names:
        method = getattr(kind, name)
        title = "view[[…]]" if name == "__getitem__" else f"{owner}.{name}" if owner else f"view.{name}"
        yield f"### {title}"
        if name != "__getitem__":
            yield fenced(signature(title, method), "python")
        yield from described(method.__doc__)


def signature(name: str, thing: Any) -> str:
    """A call as one writes it, wrapped where it is long."""
    fields = {f.name: f for f in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else {}
    shown, starred = [], False
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        shown.append(parameter.name + _default(parameter, fields))
    text = f"{name}({', '.join(shown)})"
    return text if len(text) <= 110 else textwrap.fill(text, 110, subsequent_indent="    ", break_long_words=False)


def _default(parameter: inspect.Parameter, fields: Mapping[str, Any]) -> str:
    if parameter.name in fields and fields[parameter.name].default_factory is not dataclasses.MISSING:
        return "={}"
    if parameter.default is parameter.empty or parameter.default is ...:
        return ""
    return f"={parameter.default!r}"


# The contract, by example.

_PITFALL = re.compile(r"^pitfall \d+[a-z]? ")
_RULE = re.compile(r" \(contract, sections? ([^)]*)\)")


def contract() -> str:
    from tests.spec.loader import parse

    parts = [
        "What every value means, as small tables. Each case is a test: the same file runs on every engine, and the values, "
        "types, statuses and event times shown are compared exactly. Columns without a type have the one their cells suggest; "
        "times without an offset are UTC. `x.status` and `x.event` are what `--include status,event_timestamp` adds.",
    ]
    pages = []
    for path in sorted((ROOT / "tests" / "spec").glob("*.spec")):
        text = path.read_text(encoding="utf-8")
        title, _, prose = text.split("\n## ")[0].removeprefix("# ").partition("\n")
        cases = parse(text, path.stem)
        pages.append((_RULE.sub("", title), _story(prose), cases))
    parts.append("\n".join(f"- [{title}](#{anchor(title)}): {len(cases)} cases" for title, _, cases in pages))
    for title, prose, cases in pages:
        parts += [f"## {title}", prose]
        for case in cases:
            parts += [f"### {plain(_PITFALL.sub('', case.title))}", _safe(case.story), *_sections(case)]
    return page("The contract by example", "tests/spec/*.spec", parts)


def _story(prose: str) -> str:
    return _safe(" ".join(prose.split()))


def _sections(case: Any) -> Iterator[str]:
    for section in case.sections:
        yield from _SHOWN[section.kind](section)


def _definition(section: Any) -> Iterator[str]:
    head = f" with {code(section.head)}" if section.head else ""
    kind = {"on demand": "On-demand view"}.get(section.kind, section.kind.capitalize())
    yield f"{kind} `{section.name}`{head}" + (":" if section.lines else "")


def _source(section: Any) -> Iterator[str]:
    yield from _definition(section)
    lines: list[str] = []
    for number, line in enumerate([*section.lines, "---"]):
        if line == "---" and lines:
            yield _cells(lines)
            if number < len(section.lines):
                yield "and in another file"
            lines = []
        elif line != "---":
            lines.append(line)


def _view(section: Any) -> Iterator[str]:
    yield from _definition(section)
    yield fenced("\n".join(section.lines), "python")


def _spine(section: Any) -> Iterator[str]:
    yield "Asked" + (f" with {code(section.head)}" if section.head else "") + ":"
    yield _cells(section.lines)


def _expect(section: Any) -> Iterator[str]:
    yield "gives"
    yield _cells(section.lines)


def _cells(lines: Sequence[str]) -> str:
    header, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return table([code(h) for h in header], [[plain(cell) for cell in row] for row in rows])


_SHOWN: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "entity": lambda s: iter([f"Entity `{s.name}` with the keys {code(s.head)}"]),
    "source": _source,
    "view": _view,
    "label": _view,
    "on demand": _view,
    "service": lambda s: iter([f"Service of {code(s.head)}"]),
    "labels": lambda s: iter([f"with the labels {code(s.head)}"]),
    "spine": _spine,
    "expect": _expect,
    "expect error": lambda s: iter([f"is refused: [{s.head.split()[0]}](errors.md#{s.head.split()[0].lower()})"]),
    "types": lambda s: iter([f"of the types {code(s.head)}"]),
    "left out": lambda s: iter([f"with rows left out of `{s.name}`: {code(s.head)}"]),
    "counted": lambda s: iter([f"with rows of `{s.name}` counted: {code(s.head)}"]),
    "without value": lambda s: iter([f"with rows in which an operation had no value: {code(s.head)}"]),
}


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli,
    "config.md": config,
    "contract-by-example.md": contract,
    "definitions.md": definitions,
    "errors.md": errors,
    "expressions.md": expressions,
    "spark.md": spark,
}


def stale() -> dict[str, tuple[str, str]]:
    """Pages that are not what the sources say: {name: (as it is, as it should be)}."""
    found = {}
    for name, write in PAGES.items():
        path = REFERENCE / name
        now, wanted = path.read_text(encoding="utf-8") if path.is_file() else "", write()
        if now != wanted:
            found[name] = (now, wanted)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/reference/ from the sources.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    given = parser.parse_args(arguments)
    changed = stale()
    for name, (now, wanted) in changed.items():
        if given.check:
            difference = difflib.unified_diff(now.splitlines(), wanted.splitlines(), name, name, lineterm="", n=1)
            print("\n".join([*list(difference)[:40]]))
        else:
            REFERENCE.mkdir(parents=True, exist_ok=True)
            (REFERENCE / name).write_text(wanted, encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    if given.check and changed:
        print(f"stale: {', '.join(changed)}; run make docs", file=sys.stderr)
        return 1
    if not changed:
        print(f"docs/reference/: {len(PAGES)} pages are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
