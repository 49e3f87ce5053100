"""The benchmarks are part of the product: each has a smallest form, and CI runs them all."""

import re
import sys

import pytest
from conftest import ROOT

FOLDER = ROOT / "tests" / "benchmarks"
sys.path.insert(0, str(FOLDER))
import smallest  # noqa: E402


def test_every_benchmark_has_a_smallest_form_and_ci_runs_them() -> None:
    """What has none is started or imported by one that has."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    seen, queue = set(), ["smallest", *smallest.FORMS]
    while queue:
        name = queue.pop()
        seen.add(name)
        used = set(re.findall(r"(\w+)\.py\b", texts[name])) | set(re.findall(r"from (\w+) import", texts[name]))
        queue += (used & texts.keys()) - seen
    assert seen == texts.keys()
    assert "python tests/benchmarks/smallest.py\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_replay_of_pruning_runs() -> None:
    done = smallest.run("pruning")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:4]] == ["none", "asha"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(smallest.FORMS.keys() - {"against_trl", "pruning"}))
def test_the_others_run(name: str) -> None:
    """All but the one that takes a package index, which CI has."""
    done = smallest.run(name)
    assert done.returncode == 0, done.stdout + done.stderr
