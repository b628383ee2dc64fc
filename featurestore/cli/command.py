"""What all commands share: the options every one takes, the project they work on, warnings and progress."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.events import CURRENT, LogHandler, asked_for
from featurestore.errors import DefinitionError, FeatureStoreError, UsageError

if TYPE_CHECKING:
    from featurestore.progress import Progress, Watcher
    from featurestore.store import FeatureStore

_PROJECT = typer.Option(
    "--project", metavar="DIR", help="The project. Default: the nearest folder upwards with featurestore.toml."
)
_JSON = typer.Option("--json", help="Print one JSON object on stdout, also for errors.")
_VERBOSE = typer.Option("-v", "--verbose", help="Log on stderr; with a traceback for what was not foreseen.")
_QUIET = typer.Option("--quiet", help="Nothing on stderr but errors.")
_EVENTS = typer.Option("--events", metavar="FILE", help="Append what happens to FILE, a JSON object a line; -: to stderr.")
_COMMON = {
    "project": (Annotated[Path | None, _PROJECT], None),
    "as_json": (Annotated[bool, _JSON], False),
    "verbose": (Annotated[bool, _VERBOSE], False),
    "quiet": (Annotated[bool, _QUIET], False),
    "events": (Annotated[str | None, _EVENTS], None),
}


@dataclass(frozen=True)
class Asked:
    """What must be known of a command line even when it cannot be parsed."""

    command: str
    as_json: bool
    verbose: bool
    events: str | None = None

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Asked:
        options = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
        command = next((a for a in options if not a.startswith("-")), "")
        return cls(command, "--json" in options, "-v" in options or "--verbose" in options, asked_for(options))


@dataclass
class Run:
    """One run of a command."""

    command: str
    project: Path | None = None
    as_json: bool = False
    verbose: bool = False
    quiet: bool = False
    events: str | None = None
    warnings: list[str] = field(default_factory=list)

    @cached_property
    def store(self) -> FeatureStore:
        """The project's store. Raises: UsageError FS107; a folder named by --project must itself be a project."""
        from featurestore.config import FILE_NAME
        from featurestore.store import FeatureStore

        if self.project is not None and not (self.project / FILE_NAME).is_file():
            raise UsageError(
                "FS107",
                f"--project {str(self.project)!r} holds no {FILE_NAME}",
                hint="featurestore init DIR, or another folder",
            )
        return FeatureStore(self.project or Path.cwd())

    def warn(self, text: str) -> None:
        """Say once what the reader should know, and go on."""
        if text in self.warnings:
            return
        self.warnings.append(text)
        self.tell("warning", text=text)
        if not self.quiet and not CURRENT.get().on_stderr:
            print(f"warning: {text}", file=sys.stderr, flush=True)

    def tell(self, event: str, **told: Any) -> None:
        """An event, for who asked for them by --events."""
        CURRENT.get().say(event, **told)

    @contextmanager
    def progress(self) -> Iterator[Watcher]:
        """Show progress on stderr while inside; the watcher is what long work calls."""
        from featurestore.cli.bars import progress

        told = CURRENT.get().watcher()
        with progress(quiet=self.quiet or CURRENT.get().on_stderr) as shown:

            def watch(now: Progress) -> None:
                shown(now)
                told(now)

            yield watch

    @contextmanager
    def logging(self) -> Iterator[None]:
        """The library's log on stderr: warnings and worse, all of it with -v, errors alone with --quiet. With --events also,
        or only, there."""
        level = logging.DEBUG if self.verbose else logging.ERROR if self.quiet else logging.WARNING
        shown = logging.StreamHandler(sys.stderr)
        shown.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        events = CURRENT.get()
        handlers: list[logging.Handler] = [] if events.on_stderr else [shown]
        handlers += [] if events.target is None else [LogHandler(events)]
        logger = logging.getLogger("featurestore")
        former = logger.level
        for handler in handlers:
            logger.addHandler(handler)
        logger.setLevel(level)
        try:
            yield
        finally:
            for handler in handlers:
                logger.removeHandler(handler)
            logger.setLevel(former)


def name_of(function: Callable[..., Answer]) -> str:
    """What is typed for a command: `should-retrain` is done by `should_retrain`."""
    return function.__name__.replace("_", "-")


def add(app: typer.Typer, function: Callable[..., Answer]) -> None:
    """Make a function `command(run, …)` a command: its parameters and the common ones become the command line's."""
    name = name_of(function)
    own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "run"]

    def command(**given: Any) -> Answer:
        run = Run(name, **{option: given.pop(option) for option in _COMMON})
        with run.logging():
            run.tell("start", version=sys.modules["featurestore"].__version__)
            return function(run, **given)

    common = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for n, (annotation, default) in _COMMON.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + common
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    app.command(name, help=_help(function))(command)


def _help(function: Callable[..., Answer]) -> str:
    """The docstring; its last paragraph, the example, keeps its lines."""
    text, _, example = inspect.cleandoc(function.__doc__ or "").rpartition("Example:\n")
    return f"{text.strip()}\n\n\b\nExample:\n{example}"


def typed_wrong(option: str, error: FeatureStoreError) -> FeatureStoreError:
    """A value refused where definitions are read, come from the command line: then it is usage, exit 2."""
    if not isinstance(error, DefinitionError):
        return error
    return UsageError(error.code, f"{option}: {error.what}", known=error.known, hint=error.hint)
