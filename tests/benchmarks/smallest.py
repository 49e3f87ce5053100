"""Every benchmark in its smallest form, so that none breaks unseen: their figures mean nothing here.

    python tests/benchmarks/smallest.py [NAME ...]

For TRL 1.12.0 an environment is made on top of this one, which takes a package index.
"""

import argparse
import os
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TRL = "trl==1.12.0"  # the last release with PPO
FEW = ("ppo.batch_size=4", "ppo.num_minibatches=1", "ppo.total_episodes=4", "eval.num_prompts=2",
       "eval.num_confirming=2")  # fmt: skip


def make_trl(folder: Path) -> str:
    """The Python of a new environment that has TRL 1.12.0, and all else from this one."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    code = "import site; print(site.getsitepackages()[0])"
    packages = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    (Path(packages) / "inherited.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", TRL], check=True)
    return str(python)


# Name of the file -> a scratch folder -> its arguments.
FORMS: dict[str, Callable[[Path], Sequence[str]]] = {
    "against_trl": lambda folder: (
        *("--trl-python", make_trl(folder / "trl"), "--rounds", "1", "--batch-size", "2", "--epochs", "1"),
        *("--response-length", "8", "--threads", "1", "ppo=trl"),
    ),
    "grid": lambda folder: (str(folder), "--seeds", "0", "--lrs", "5e-4", "--kl-coefs", "0.1", "--runs", *FEW),
    "idle": lambda folder: ("--folder", str(folder), "--trials", "3", "--workers", "2"),
    "overhead": lambda folder: ("--folder", str(folder), "--trials", "3", "--workers", "1", "0"),
    "pruning": lambda folder: (str(folder), "--synthetic", "--groups", "late0", "--orders", "1", "--workers", "2"),
    "verdicts": lambda folder: ("--sweeps", "1"),
}


def run(name: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark in its smallest form, as its own documentation says."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, HERE / f"{name}.py", *FORMS[name](Path(folder))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE.parent)])}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def main() -> None:
    """Run those that are named, or all; the exit status is 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *FORMS])
    has_failed = False
    for name in parser.parse_args().names or FORMS:
        begun = time.monotonic()
        done = run(name)
        print(f"{name}: exit status {done.returncode}, {time.monotonic() - begun:.0f} s", flush=True)
        if done.returncode:
            has_failed = True
            print(done.stdout + done.stderr)
    sys.exit(has_failed)


if __name__ == "__main__":
    main()
