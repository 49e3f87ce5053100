"""The versions that `.ci/versions lowest` installs are the lower bounds of pyproject.toml."""

import subprocess
import sys
import tomllib

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.version import Version


def test_lower_bounds_are_the_lowest_versions_that_are_tested() -> None:
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    bounds = {
        need.name: next(Version(bound.version) for bound in need.specifier if bound.operator == ">=")
        for need in map(Requirement, needs)
    }
    assert {name: Version(version) for name, version in tested.items()} == bounds


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the script is for bash")
def test_the_lowest_versions_compute_the_same() -> None:
    """The equations, a trial and every number of the analysis; the script installs them from a package index."""
    files = ["ppo/test_equations.py", "test_trial.py"]
    tests = ["tests/analysis/test_golden.py", *(f"tests/rlhf_sweeps/{file}" for file in files)]
    started = [str(ROOT / ".ci" / "versions"), "lowest", "-n", "0", *tests]
    done = subprocess.run(started, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
