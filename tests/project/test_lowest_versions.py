"""The versions that `.ci/versions lowest` installs are the lower bounds of pyproject.toml."""

import tomllib

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
