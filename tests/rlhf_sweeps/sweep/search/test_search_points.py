"""The points of a grid, which are those of Hydra's own sweeper, and those at a search's ends."""

from typing import Any

import pytest
from helpers.search_spaces import HYDRA, error, parameter, space
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from optuna.distributions import CategoricalDistribution

from rlhf_sweeps.sweep.search.search_space import SearchSpace

GRIDS = [
    ["a=1,2", "b=x,y,z", "c=3"],
    ["b=range(1,4)", "a=range(0,1,0.1)"],
    ["a=range(0.1,1,0.2)", "model@x=a,b", "+new=1,null", "++other=true,false"],
    ["a='x,y',\"it's\",[1,2],{k:v}", "b=choice(1)", r"c=a\,b,c\ d,/x/y.z-1", "d=1e-5,2.0"],
    ["a=sort(c,a,b)", "b=sort(range(1,5),reverse=true)", "c=float(range(1,3))", "d=str(a,b)", "e=bool(0,1)"],
]


@pytest.mark.parametrize("overrides", GRIDS)
def test_grids_are_hydras(overrides: list[str]) -> None:
    grid = space(*overrides)
    (jobs,) = BasicSweeper.split_arguments(HYDRA.parse_overrides(overrides), max_batch_size=None)
    points = grid.grid()
    assert len(points) == len(jobs)
    for point, job in zip(points, jobs, strict=True):
        assert sorted(grid.overrides(point)) == sorted(job)


def test_a_glob_is_the_groups_options(tmp_path: Any) -> None:
    (tmp_path / "model").mkdir()
    for name in ("tiny", "small", "other"):
        (tmp_path / "model" / f"{name}.yaml").write_text("x: 1\n")
    loader = ConfigLoaderImpl(create_config_search_path(str(tmp_path)))
    assert space("model=glob(*)", config_loader=loader).grid() == [
        {"model": "other"},
        {"model": "small"},
        {"model": "tiny"},
    ]
    assert parameter("model=glob([t*,s*],exclude=tiny)", config_loader=loader).texts == ("small",)
    assert error("model=glob(z*)", config_loader=loader) == "model=glob(z*): holds no value; must hold at least one"
    assert error("model=glob(*)").startswith("model=glob(*): there are no config groups here")


def test_equal_points_are_one() -> None:
    assert space("a=1,2,1", "b=x,x").grid() == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_a_shuffled_grid_is_one_order_of_the_same_points() -> None:
    grid = space("a=shuffle(range(100))", "b=x,y")
    points = [(point["a"], point["b"]) for point in grid.grid()]
    assert sorted(points) == [(a, b) for a in range(100) for b in "xy"]
    assert points != sorted(points)
    assert [b for _, b in points[:4]] == ["x", "y", "x", "y"]
    assert [(point["a"], point["b"]) for point in grid.grid()] == points
    assert grid.describe() == space("a=range(100)", "b=x,y").describe()
    # A study that is continued compares choices with their order.
    assert grid.parameters[0].distribution == CategoricalDistribution(list(range(100)))


def test_probes_visit_every_choice_and_both_bounds() -> None:
    swept = space(
        "a=x,y,z",
        "b=int(interval(1,9))",
        "c=interval(0,1)",
        "e=3,4",
        conditions={"b": {"e": 4}, "e": {"a": ["y", "z"]}},
    )
    expected = [
        {"a": "x", "c": 0.0},
        {"a": "y", "c": 0.0, "e": 3},
        {"a": "z", "c": 0.0, "e": 3},
        {"a": "y", "b": 1, "c": 0.0, "e": 4},
        {"a": "y", "b": 9, "c": 0.0, "e": 4},
        {"a": "x", "c": 1.0},
    ]
    assert swept.probes() == expected
    assert space("a=1,2", "b=x,y").probes() == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}, {"a": 1, "b": "y"}]


def test_the_last_of_all_choices_is_the_bound_itself() -> None:
    """0.1 + 2 * 0.1 is more than 0.3."""
    space = SearchSpace.parse(["x=tag(step:0.1,interval(0.1,0.3))", "y=tag(int,step:2,interval(1,6))"], {}, {}, [])
    found = space.choices(most=9) or []
    assert {point["x"] for point in found} == {0.1, 0.2, 0.3}
    assert {point["y"] for point in found} == {1, 3, 5}
    assert space.choices(most=8) is None
