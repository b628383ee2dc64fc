"""Environments of the peers, one folder each beside `.venv`, made on first use: what they need never meets what we need.

python benchmarks/environments.py feast     make one now, for tests that want it
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FEAST_VERSION = "0.67.0"
NEEDED: Mapping[str, tuple[str, ...]] = {
    "feast": (f"feast[duckdb]=={FEAST_VERSION}",),
    "polars": ("polars==2.1.0",),
    "pandas": ("pandas==3.1.1", "pyarrow==26.0.1"),
    "timefence": ("timefence==0.9.1", "duckdb==2.0.0", "pytz"),
    "featuretools": ("featuretools==1.31.0", "pandas==2.3.3", "pyarrow==26.0.1"),
}


def environment(name: str) -> str:
    """The interpreter of a peer's environment, installed now if it is not there."""
    folder, needed = ROOT / f".venv-{name}", NEEDED[name]
    python, mark = folder / "bin" / "python", folder / ".installed"
    wanted = "\n".join(needed)
    if not mark.is_file() or mark.read_text(encoding="utf-8") != wanted:
        print(f"installing {', '.join(needed)} into {folder.name} (a minute or two, the first time)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [python, "-m", "pip", "install", "--quiet", *needed]
        subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
        mark.write_text(wanted, encoding="utf-8")
    return str(python)


if __name__ == "__main__":
    for asked in sys.argv[1:]:
        print(environment(asked))
