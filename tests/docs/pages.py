"""Read the fenced blocks of a Markdown page and run them in order, as a reader would who types along.

What a block is, its info string says:

    ```bash                            run in one shell per page; a command that fails fails the page
    ```bash exits="1"                  … and its failing command ends with that exit code
    ```python                          run in the test's process, all blocks of a page in one namespace
    ```python title="registry/x.py"    written there, in the folder the shell is in (any language)
    ```text output                     what the block before it has printed on stdout; … stands for anything
    ```text errors                     … on stderr
    ```bash no-run="why"               not run; nor is a block without a language, a drawing

The page's folder is empty at the start, and `featurestore` and `python` are those under test.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.needs import ROOT

DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "--- end of block ---"
PORT = "127.0.0.1:8000"
"""The address in the pages; a free port takes its place."""
REDIS_PORT = "6379"
"""The port of a Redis that a page starts; likewise."""


def pages() -> list[Path]:
    """Pages written by hand whose blocks are run. The generated reference has tests of its own."""
    kept = [p for p in sorted(DOCS.rglob("*.md")) if p.relative_to(DOCS).parts[0] not in ("reference", "adr")]
    return [ROOT / "README.md", *kept]


@dataclass(frozen=True)
class Block:
    """A fenced block: language, options of its info string, text, and where it stands."""

    page: str
    line: int
    language: str
    options: Mapping[str, str]
    text: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """A block without a language is a drawing; one with no-run says why it is left out."""
        return bool(self.language) and "no-run" not in self.options


def blocks(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        language, *words = shlex.split(match["info"]) or [""]
        options = {name: value for name, _, value in (word.partition("=") for word in words)}
        line = text.count("\n", 0, match.start()) + 1
        yield Block(path.relative_to(ROOT).as_posix(), line, language, options, match["body"])


def matches(shown: str, found: str) -> bool:
    """Whether an output is the one shown: a line … stands for any lines, … in a line for any text in it."""
    parts = []
    for line in shown.strip("\n").splitlines():
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*")
        else:
            parts.append(".*".join(re.escape(piece) for piece in line.rstrip().split("…")) + r"\s*\n")
    return re.fullmatch("".join(parts), found.strip("\n") + "\n") is not None


class Reader:
    """Someone who types a page's blocks in, in a folder of their own, in one shell and one Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "work"
        self.home.mkdir()
        self.namespace: dict[str, Any] = {"__name__": "page"}
        self.printed = {"output": "", "errors": ""}
        self.port, self.redis_port = _free_ports()
        self.shell: subprocess.Popen[str] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.shell is not None:
            self._type("jobs -p | xargs -r kill 2> /dev/null; wait; exit")
            self.shell.wait(30)
            for pipe in (self.shell.stdin, self.shell.stdout):
                if pipe is not None:
                    pipe.close()

    def read(self, block: Block) -> None:
        """Do what the block asks. Raises: AssertionError naming the block."""
        text = block.text.replace(PORT, f"127.0.0.1:{self.port}").replace(REDIS_PORT, str(self.redis_port))
        kind = next((k for k in ("output", "errors") if k in block.options), "")
        if not block.runs:
            return
        if kind:
            assert matches(text, self.printed[kind]), f"{block} shows\n{text}\nbut this was printed\n{self.printed[kind]}"
        elif "title" in block.options:
            path = self.cwd() / block.options["title"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif block.language == "bash":
            self._run(block, text)
        elif block.language == "python":
            self._execute(block, text)
        else:
            raise AssertionError(f"{block}: is this {block.language} a file (title=), an output, or no-run?")

    def cwd(self) -> Path:
        """Where the shell is."""
        if self.shell is None:
            return self.home
        self._type(f"pwd; echo {shlex.quote(_END)}")
        return Path(self._until_end()[0])

    def _run(self, block: Block, text: str) -> None:
        self.shell = self.shell or self._start()
        files = {kind: self.folder / kind for kind in self.printed}
        self._type(f"failed=0\n{{\n{text}\n}} > {files['output']} 2> {files['errors']}\necho $failed; echo {shlex.quote(_END)}")
        status = self._until_end()[-1]
        self.printed = {kind: path.read_text(encoding="utf-8") for kind, path in files.items()}
        wanted = block.options.get("exits", "0")
        assert status == wanted, f"{block} ended with {status}, not {wanted}\n{self.printed['errors']}{self.printed['output']}"

    def _execute(self, block: Block, text: str) -> None:
        printed = io.StringIO()
        place = f"{self.cwd()}/{Path(block.page).stem}.py"
        with contextlib.chdir(self.cwd()), contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + text, place, "exec"), self.namespace)
        self.printed = {"output": printed.getvalue(), "errors": ""}

    def _start(self) -> subprocess.Popen[str]:
        bash = shutil.which("bash")
        assert bash is not None
        programs = self.folder / "bin"
        programs.mkdir()
        for name, words in (("featurestore", "-m featurestore.cli "), ("python", "")):
            shim = programs / name
            shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words}"$@"\n')
            shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
        environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "FEATURESTORE_SERVER__PORT": str(self.port),
        }
        shell = subprocess.Popen(
            [bash, "--noprofile", "--norc", "-s"], cwd=self.home, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.shell = shell
        self._type("trap 'failed=$?' ERR")
        return shell

    def _type(self, text: str) -> None:
        assert self.shell is not None
        assert self.shell.stdin is not None
        self.shell.stdin.write(text + "\n")
        self.shell.stdin.flush()

    def _until_end(self) -> list[str]:
        assert self.shell is not None
        assert self.shell.stdout is not None
        lines = []
        for line in self.shell.stdout:
            if line.strip() == _END:
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError("the shell has gone:\n" + "\n".join(lines))


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def anchors(page: Path) -> set[str]:
    """The anchors of a Markdown page: its headings', and those it sets itself."""
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^#{1,6} (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", t).lower()).replace(" ", "-") for t in titles}
    return made | set(re.findall(r'<a id="([^"]+)">', text))
