"""The wheel alone, in a clean environment: init, materialize and serve."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The bin folder of an environment that holds the built wheel and what the lock pins for it, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    home = folder / "home"
    home.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FEATURESTORE_", "PYTHON", "VIRTUAL_ENV"))}
    env["HOME"] = str(home)
    python, uv = sys.executable, Path(sys.executable).with_name("uv")
    run(python, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder, env=env)
    wheel = next(folder.glob("*.whl"))
    run(python, "-m", "venv", "--without-pip", folder / "venv", cwd=folder, env=env)
    target = folder / "venv" / "bin" / "python"
    constraints = folder / "constraints.txt"
    pins = [line.split(" \\")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    constraints.write_text("\n".join(pins))
    run(uv, "pip", "install", "--quiet", "--python", target, "--constraint", constraints, wheel, cwd=folder, env=env)
    return folder / "venv" / "bin", env


def test_the_wheel_runs_init_materialize_and_serve(installed: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    bin_folder, env = installed
    featurestore = bin_folder / "featurestore"
    run(featurestore, "init", "shop", "--rows", "2000", cwd=tmp_path, env=env)
    shop = tmp_path / "shop"
    run(featurestore, "materialize", "--known-before", "2026-01-01T00:00:00Z", cwd=shop, env=env)
    command = [featurestore, "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=shop, env=env, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            line = next(line for line in server.stderr if "serving on" in line)
            address = line.split("serving on ")[1].strip()
            with urllib.request.urlopen(f"{address}/v1/feature-services", timeout=30) as answer:
                assert "fraud_v1" in json.dumps(json.load(answer))
            with urllib.request.urlopen(f"{address}/services/fraud_v1", timeout=30) as answer:
                page = answer.read().decode()
            assert "Scores a card payment" in page
            for file in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
                with urllib.request.urlopen(f"{address}{file}", timeout=30) as answer:
                    assert answer.read(), file
        finally:
            server.terminate()
            assert server.wait(30) == 0
