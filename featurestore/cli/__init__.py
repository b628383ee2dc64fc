"""The command line. `main` is its only entry; what a command does is in the file of its name.

Nothing here is imported before it is needed: `featurestore --help` knows the commands, not the engine.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0, 1 a check failed, 2 usage, 3 definition, 4 data, 5 store or system,
    130 interrupted."""
    try:
        from featurestore.cli.app import run

        return run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # before `run` could take care of it
        return 130


__all__ = ["main"]
