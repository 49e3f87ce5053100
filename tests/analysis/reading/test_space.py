"""What the analysis reads of a search space is what the engine wrote: lists, ties, conditions."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.records import axes
from helpers.sweep_sources import of, swept, trial
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Transformer
from scipy.stats import f_oneway, linregress, rankdata

from analysis.records.runs import Source
from analysis.sweep.analysis import analyse_sweep
from analysis.sweep.chance import compute_p_values
from analysis.sweep.edges import find_edges
from analysis.sweep.margin import measure_lead
from analysis.sweep.settings import make_views
from analysis.sweep.surface import fit_surface
from rlhf_sweeps.record import Axis, read_axes
from rlhf_sweeps.record.axes import as_data
from rlhf_sweeps.sweep.search.search_space import SearchSpace
from rlhf_sweeps.verdicts.error_rate import SHARE_OF_KEYS

# (typed, ties, conditions)
SPACES = [
    (["a=choice(1,2)", "b=choice(3,4)"], [["a", "b"]], {}),
    (
        ["model=choice(x,y)", "lr=interval(0.1,1)", "k=choice(1,2)"],
        [],
        {"lr": {"model": "x"}, "k": {"model": ["x", "y"]}},
    ),
    (["+t=choice('a with b=c','d if e=f')", "u=choice([1,2],[3])"], [["+t", "u"]], {}),
    (
        ["lr=tag(log,interval(1e-5,1e-3))", "warm=tag(int,interval(1,9))", "opt=choice(p,q)"],
        [["lr", "warm"]],
        {"lr": {"opt": "q"}},
    ),
]


def written(typed: list[str], ties: list[list[str]], conditions: dict[str, object]) -> list[Axis]:
    return SearchSpace.parse(typed, {}, conditions, ties).axes()


@pytest.mark.parametrize(("typed", "ties", "conditions"), SPACES)
def test_the_record_has_what_was_typed(
    typed: list[str], ties: list[list[str]], conditions: dict[str, dict[str, object]]
) -> None:
    """Lists and bounds as Hydra's own parser reads them, ties and conditions as they were given."""
    found = {axis.name: axis for axis in written(typed, ties, conditions)}
    parsed = {one.get_key_element(): one.value() for one in map(OverridesParser.create().parse_override, typed)}
    assert found.keys() == parsed.keys()
    for name, sweep in parsed.items():
        axis = found[name]
        if isinstance(sweep, ChoiceSweep):
            assert axis.choices == tuple(str(Transformer.str(item)) for item in sweep.list or [])
        else:
            assert (axis.kind, axis.low, axis.high) == ("interval", sweep.start, sweep.end)
            assert (axis.is_log, axis.is_int) == ("log" in sweep.tags, "int" in sweep.tags)
        leader = next((tie[0] for tie in ties if name in tie), name)
        assert axis.tied_to == (None if name == leader else leader)
        needs = conditions.get(leader, {})
        assert axis.when == {key: (one,) if isinstance(one, str) else tuple(one) for key, one in needs.items()}  # type: ignore[arg-type]


@pytest.mark.parametrize(("typed", "ties", "conditions"), SPACES)
def test_axes_come_back_from_the_record(typed: list[str], ties: list[list[str]], conditions: dict[str, object]) -> None:
    axes = written(typed, ties, conditions)
    assert list(read_axes(json.loads(json.dumps(as_data(axes))))) == axes


@pytest.mark.parametrize(("typed", "ties", "conditions"), SPACES)
def test_a_space_of_version_1_comes_to_the_same(
    typed: list[str], ties: list[list[str]], conditions: dict[str, object]
) -> None:
    """Whose record had the axes in words only."""
    space = SearchSpace.parse(typed, {}, conditions, ties)
    assert [replace(axis, step=None) for axis in space.axes()] == list(axes(space.describe()))


def tied(descending: bool) -> Source:
    """A learning rate whose list a second key follows, upwards or downwards; the objective falls with its decade."""
    rates, others = ["0.0001", "0.001", "0.01"], ["3", "2", "1"] if descending else ["1", "2", "3"]
    pairs = list(zip(rates, others, strict=True)) * 4
    trials = [trial(n, {"lr": lr, "k": k}, [-float(k) + 0.01 * n]) for n, (lr, k) in enumerate(pairs)]
    return of(trials, space={"lr": f"choice({','.join(rates)}) with k=choice({','.join(others)})"})


@pytest.mark.parametrize("descending", [False, True])
def test_a_key_that_is_tied_is_no_axis_of_its_own(descending: bool) -> None:
    (view,) = make_views(tied(descending))
    assert [(axis.key, axis.choices, axis.is_numeric) for axis in view.axes] == [
        ("lr", ("0.0001", "0.001", "0.01"), True)
    ]
    assert view.tied == {"k": "lr"}
    assert "k always changes with lr, so their effects are one" in analyse_sweep(tied(descending)).notes


# Keys that are not active in all settings


def conditional(effect: float, num: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Positions of a parent (0 or 1) and of a child in 0, 0.5, 1 that is active at parent 1, and objectives."""
    random = np.random.default_rng(seed)
    parent = np.arange(num) % 2.0
    child = np.where(parent == 1, (np.arange(num) // 2 % 3) / 2, np.nan)
    gains = 2.0 * parent + effect * (np.nan_to_num(child) == 0.5) * parent + 0.1 * random.standard_normal(num)
    return np.stack([parent, child], axis=1), gains


PARENT = Axis("p", ("x", "y"))
CHILDREN = [Axis("c", ("1", "2", "3"), 1.0, 3.0), Axis("c", (), 0.0, 1.0)]


@pytest.mark.parametrize("child", CHILDREN)
def test_a_choice_in_the_middle_is_not_taken_for_inactive(child: Axis) -> None:
    """The middle choice is the best by far; filled with the mean, the inactive settings would stand for it."""
    positions, gains = conditional(1.0, 24)
    idle = Axis("z", tuple("abcdefghij"))  # so many values that not all keys can be fitted at once
    positions = np.column_stack([positions, np.arange(24) * 7 % 10])
    found = compute_p_values([PARENT, child, idle], positions, gains)
    assert found[:2].max() * SHARE_OF_KEYS <= 0.05  # where inactive settings stood in the middle it was 0.335


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("num", [12, 24])  # 12 are too few to fit both keys at once
def test_a_child_is_not_credited_with_its_parent(child: Axis, num: int) -> None:
    """The child does nothing: it seems to matter in 5 % of sweeps at most, in 7 or fewer of 60 with 97 %."""
    found = [compute_p_values([PARENT, child], *conditional(0.0, num, seed))[1] for seed in range(60)]
    assert sum(p <= 0.05 for p in found) <= 7


def test_of_one_conditional_key_the_test_is_that_among_its_active_settings() -> None:
    """The F statistic's own probability, by another library, agrees with the permutations."""
    positions, gains = conditional(0.06, 60, 3)
    active = positions[:, 1] == positions[:, 1]
    ranks = rankdata(gains[active])
    groups = [ranks[positions[active, 1] == place] for place in (0.0, 0.5, 1.0)]
    (found,) = compute_p_values([CHILDREN[0]], positions[:, 1:], gains)
    expected = f_oneway(*groups).pvalue
    assert 0.01 < expected < 0.5
    assert found * SHARE_OF_KEYS == pytest.approx(expected, abs=0.03)


def test_the_surface_puts_inactive_settings_beside_the_axis() -> None:
    """At the middle of the axis it is high; where the key is not active it is low, and neither pulls at the other."""
    axis = CHILDREN[1]
    places = np.array([0.0, 0.25, 0.5, 0.75, 1.0] * 4 + [np.nan] * 12)[:, None]
    gains = np.where(np.isnan(places[:, 0]), -1.0, 1 - (2 * np.nan_to_num(places[:, 0]) - 1) ** 2)
    surface = fit_surface([axis], places, gains + 0.02 * np.random.default_rng(0).standard_normal(32), np.ones(32))
    mean, _ = surface.predict(np.array([[0.5], [np.nan], [0.0]]))
    assert mean == pytest.approx([1.0, -1.0, 0.0], abs=0.1)


def test_tied_intervals_follow_by_position() -> None:
    random = np.random.default_rng(1)
    places = random.uniform(size=14)
    trials = [trial(n, {"a": 10**-p, "b": 1 + 2 * p}, [float(p)]) for n, p in enumerate(places)]
    (view,) = make_views(of(trials, space={"a": "tag(log,interval(0.1,1)) with b=interval(1,3)"}))
    assert view.tied == {"b": "a"}
    assert linregress(places, view.compute_positions()[:, 0]).slope == pytest.approx(-1)


def test_a_tie_that_the_trials_do_not_keep_is_none() -> None:
    """As after a change of the space: all nine pairs were tried, and k alone matters."""
    pairs = [(lr, k) for lr in "123" for k in "123"]
    trials = [trial(n, {"lr": lr, "k": k}, [float(k)]) for n, (lr, k) in enumerate(pairs)]
    (view,) = make_views(of(trials, space={"lr": "choice(1,2,3) with k=choice(1,2,3)"}))
    assert [axis.key for axis in view.axes] == ["lr", "k"]
    assert not view.tied


@pytest.mark.parametrize("tie", ["", " with k=choice(1,2,3)"])
def test_an_edge_is_found_with_a_key_that_moves_along(tie: str) -> None:
    """Each decade brings 1 more, seeds differ by 0.1: the best list's end is an edge, whatever moves along."""
    points = [{"lr": lr, **({"k": k} if tie else {})} for lr, k in (("0.001", "1"), ("0.01", "2"), ("0.1", "3"))]
    values = [[n + 0.1 * seed for seed in range(4)] for n in range(3)]
    (view,) = make_views(swept(points, values, space={"lr": f"choice(0.001,0.01,0.1){tie}"}))
    (edge,) = find_edges(view, None, measure_lead(view, view.estimate_noise()))
    assert (edge.axis.key, edge.is_high, edge.override) == ("lr", True, "lr=0.1,0.316,1")


def test_many_other_keys_do_not_blind_the_test_of_a_conditional_one() -> None:
    """12 of 48 settings have the child, which decides; three lists of four take more terms than these can bear."""
    random = np.random.default_rng(5)
    child = np.where(np.arange(48) % 4 == 0, random.uniform(size=48), np.nan)
    others = np.stack([random.integers(0, 4, 48) for _ in range(3)], axis=1)
    gains = np.where(np.isnan(child), 0.0, 10 * child) + 0.05 * random.standard_normal(48)
    axes = [CHILDREN[1], *(Axis(name, tuple("abcd")) for name in "xyz")]
    assert compute_p_values(axes, np.column_stack([child, others]), gains)[0] <= 0.01
