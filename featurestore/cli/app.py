"""From arguments to an exit code: which commands there are, and what becomes of their answers and errors."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from featurestore.cli import answer as answers
from featurestore.cli import (
    audit,
    backfill,
    build,
    check,
    compact,
    compile,
    diff,
    drift,
    explain,
    forget,
    freshness,
    gc,
    get,
    influence,
    init,
    keys,
    lineage,
    materialize,
    monitor,
    performance,
    profile,
    prove,
    push,
    rebuild,
    rollback,
    serve,
    should_retrain,
    status,
    verify,
)  # fmt: skip
from featurestore.cli.answer import Answer
from featurestore.cli.command import Asked, add
from featurestore.cli.events import CURRENT, Events
from featurestore.cli.interrupt import Interrupts
from featurestore.errors import FeatureStoreError

COMMANDS = (init.init, check.check, compile.compile, explain.explain, lineage.lineage, build.build, rebuild.rebuild, diff.diff,
            profile.profile,
            backfill.backfill,
            materialize.materialize, get.get, serve.serve, keys.keys, push.push, compact.compact, status.status,
            rollback.rollback, gc.gc, forget.forget, verify.verify, audit.audit, prove.prove,
            influence.influence, drift.drift, performance.performance, freshness.freshness, monitor.monitor,
            should_retrain.should_retrain)  # fmt: skip

HELP = """Point-in-time correct features, offline and online, from one definition.

\b
Example:
  featurestore init shop && cd shop
  featurestore compile
  featurestore build fraud_v1 --spine data/spine.parquet --output train.parquet
  featurestore materialize
  featurestore get fraud_v1 customer_id=10038 merchant_id=m00042

\b
Exit codes: 0 ok, 1 a check failed, 2 a name or flag typed wrong, 3 a definition,
4 content of a source or spine, 5 store or system, 130 interrupted, 143 terminated.
"""

ClickException: type[Any] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""What the parser raises. Typer carries its own copy of click and exports only some of its exceptions."""


def application() -> typer.Typer:
    """The commands as typer knows them; the reference of the command line is generated from it."""
    app = typer.Typer(
        help=HELP,
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich's help costs half a second to draw
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_root)
    for function in COMMANDS:
        add(app, function)
    return app


def _version(asked: bool) -> None:
    if asked:
        print(f"featurestore {sys.modules['featurestore'].__version__}")  # loaded, as it is the package of this file
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True, callback=_version),
) -> None:
    """The options before a command: its own come after it."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line: print its answer, or its error, and return the exit code."""
    asked = Asked.of(arguments)
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        events = Events(asked.command, asked.events)
    except FeatureStoreError as error:
        return _finish(Answer(errors=[error]), asked)
    CURRENT.set(events)
    with Interrupts() as interrupts:
        try:
            done = _invoke(arguments)
        except BaseException as error:
            done = _failed(error, asked, interrupts.seen)
    events.end(done)
    return _finish(done, asked, told=events.on_stderr)


def _open_streams() -> None:
    """A daemon may have closed some of them: a file that is opened next would get the number, and what is printed to it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _invoke(arguments: Sequence[str]) -> Answer:
    """Parse and run. Typer's own `main` is passed by: it prints errors its way and hides Ctrl-C."""
    command = typer.main.get_command(application())
    with command.make_context("featurestore", list(arguments)) as context:
        done = command.invoke(context)
    return done if isinstance(done, Answer) else Answer()


def _failed(error: BaseException, asked: Asked, interrupted: int | None) -> Answer:
    """What an exception means to whoever typed the command. interrupted: the signal that came, if one did."""
    if interrupted is not None or isinstance(error, KeyboardInterrupt):
        return Answer(errors=[answers.Interrupted(interrupted)])
    if isinstance(error, typer.Exit):
        return Answer(silent=True, code=error.exit_code)
    if isinstance(error, ClickException):
        if type(error).__name__ == "NoArgsIsHelpError" and not asked.as_json:
            print(error.format_message(), file=sys.stderr)
            return Answer(silent=True, code=2)
        return Answer(errors=[answers.usage(error)])
    if isinstance(error, FeatureStoreError):
        return Answer(errors=[error])
    if isinstance(error, SystemExit | GeneratorExit):
        raise error
    if isinstance(error, BrokenPipeError):
        return _broken_pipe()
    if asked.verbose:
        _traceback(error)
    return Answer(errors=[answers.unexpected(error, verbose=asked.verbose)])


def _traceback(error: BaseException) -> None:
    import traceback

    if CURRENT.get().on_stderr:
        CURRENT.get().say("log", level="error", logger="featurestore", text="".join(traceback.format_exception(error)))
    else:
        traceback.print_exception(error, file=sys.stderr)


def _finish(done: Answer, asked: Asked, *, told: bool = False) -> int:
    try:
        answers.show(done, asked.command, as_json=asked.as_json, told=told)
        sys.stdout.flush()
    except BrokenPipeError:
        return _broken_pipe().exit_code
    return done.exit_code


def _broken_pipe() -> Answer:
    """Whoever read our output has gone (`| head`): no error, and nothing more to say."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Answer(silent=True, code=141)
