"""Suggestions fire when the data speak for them, and stay away when they do not."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.sweep_sources import hill, of, run, search, swept, trial

from analysis.records.runs import Source
from analysis.sweep.analysis import analyse_sweep
from analysis.sweep.edges import Edge, find_edges, write_axis
from analysis.sweep.margin import measure_lead
from analysis.sweep.next_steps import _name_folder, _suggest_by_profile
from analysis.sweep.optimum import find_optimum
from analysis.sweep.settings import make_views
from analysis.wording.statements import Statement
from rlhf_sweeps.record import Axis, Sweep, SweepPlan


def found_edges(source: Source) -> list[Edge]:
    (view,) = make_views(source)
    return find_edges(view, find_optimum(view), measure_lead(view, view.estimate_noise()))


def steps(source: Source) -> list[str]:
    return [step.text for one in analyse_sweep(source).views for step in one.steps]


def test_an_optimum_inside_seldom_looks_as_if_it_lay_beyond_an_edge() -> None:
    """Also measured over 200 sweeps each of 12 kinds: at most 3 of 200 had any false edge."""
    sweeps = [found_edges(search(hill(top), 16, 0.1, seed)) for top in (-3.3, -2.6) for seed in range(20)]
    assert sum(bool(found) for found in sweeps) <= 2


def test_an_optimum_far_outside_is_looked_for_there() -> None:
    found = [found_edges(search(hill(-1.0), 20, 0.1, seed)) for seed in range(10)]
    assert sum([edge.axis.key for edge in one] == ["ppo.lr"] for one in found) >= 7
    (edge,) = next(one for one in found if one)
    assert edge.is_high
    assert edge.override == "ppo.lr='tag(log,interval(0.0013,0.1))'"


def test_a_lower_edge_is_found_where_the_objective_is_to_be_minimized() -> None:
    source = search(lambda point: -hill(-6.0)(point), 24, 0.05, seed=1)
    trials = [trial(one.number, dict(one.settings), list(one.objectives or [])) for one in source.trials]
    (edge,) = found_edges(of(trials, directions=("minimize",)))
    assert (edge.axis.key, edge.is_high) == ("ppo.lr", False)
    assert edge.override == "ppo.lr='tag(log,interval(1e-06,7.9e-05))'"


def grid(values: list[list[float]], lrs: tuple[str, ...] = ("0.0001", "0.0003", "0.001")) -> Source:
    return swept([{"ppo.lr": lr} for lr in lrs], values, space={"ppo.lr": f"choice({','.join(lrs)})"})


def test_the_end_of_a_list_wins_only_beyond_noise() -> None:
    clear = grid([[0.0, 0.1, 0.05], [0.5, 0.4, 0.45], [1.0, 1.1, 1.05]])
    (edge,) = found_edges(clear)
    assert edge.override == "ppo.lr=0.001,0.00333,0.0111"
    assert edge.rise == pytest.approx(0.6)
    assert not found_edges(grid([[0.0, 0.8, 0.1], [0.5, -0.4, 0.6], [1.0, 0.1, 0.3]]))
    # One seed each: nobody knows how much they differ.
    assert not found_edges(grid([[0.0], [0.5], [1.0]]))


def test_the_end_of_a_list_that_is_the_highest_wins_nothing_where_the_lowest_is_looked_for() -> None:
    lrs = ("0.0001", "0.0003", "0.001")
    points = [{"ppo.lr": lr} for lr in lrs]
    values = [[0.0, 0.1, 0.05], [0.5, 0.4, 0.45], [1.0, 1.1, 1.05]]
    (edge,) = found_edges(swept(points, values, space={"ppo.lr": f"choice({','.join(lrs)})"}, directions=("minimize",)))
    assert (edge.is_high, edge.rise) == (False, pytest.approx(0.4))


def test_a_winner_in_the_middle_of_a_list_is_no_edge() -> None:
    assert not found_edges(grid([[0.0, 0.1], [1.0, 1.1], [0.0, 0.1]]))


@pytest.mark.parametrize(
    ("axis", "ends", "expected"),
    [
        (Axis("ppo.lr", (), 1e-5, 1e-3, True), (1e-3, 1e-2), "ppo.lr='tag(log,interval(0.001,0.01))'"),
        (Axis("ppo.gamma", (), 0.9, 1.0), (0.95, 1.0), "ppo.gamma='interval(0.95,1)'"),
        (Axis("k", (), 1, 64, True, True), (30.2, 640), "k='tag(int,log,interval(30,640))'"),
    ],
)
def test_overrides_are_in_hydras_syntax(axis: Axis, ends: tuple[float, float], expected: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    assert write_axis(axis, *ends) == expected
    parsed = OverridesParser.create().parse_override(expected.replace("'", ""))
    assert parsed.is_interval_sweep()


def test_a_key_that_can_go_no_further_is_not_widened() -> None:
    points = [{"ppo.gamma": 0.9 + n / 200} for n in range(21)]
    source = swept(points, [[10 * point["ppo.gamma"]] for point in points], space={"ppo.gamma": "interval(0.9,1.0)"})
    (edge,) = found_edges(source)
    assert edge.override is None


def test_keys_that_do_not_matter_are_fixed_and_those_that_do_are_narrowed() -> None:
    texts = steps(search(hill(-3.3), 30, 0.2, seed=0, runs=3))
    assert any(text.startswith("ppo.kl_coef does not matter here") for text in texts)
    assert any("comes near the best: narrow it to ppo.lr='tag(log,interval(" in text for text in texts)
    assert not any(text.startswith("ppo.lr does not matter") for text in texts)


def test_a_gap_where_the_best_may_lie_is_named() -> None:
    positions = [*np.linspace(0, 0.35, 12), *np.linspace(0.75, 1, 10)]
    points = [{"ppo.lr": 10 ** (-5 + 3 * place)} for place in positions]
    values = [[hill(-3.35)(point)] for point in points]
    texts = steps(swept(points, values))
    assert any(text.startswith("no trial has ppo.lr between 0.000112 and 0.00178") for text in texts)


def test_a_gap_where_nothing_good_can_lie_is_not() -> None:
    positions = [*np.linspace(0, 0.1, 4), *np.linspace(0.4, 1, 18)]
    points = [{"ppo.lr": 10 ** (-5 + 3 * place)} for place in positions]
    texts = steps(swept(points, [[hill(-2.8)(point)] for point in points]))
    assert not any(text.startswith("no trial has") for text in texts)


def test_a_key_that_is_not_clear_is_not_narrowed() -> None:
    source = search(hill(-3.3), 24, 0.1, seed=0)
    (view,) = make_views(source)
    found = find_optimum(view)
    assert found is not None
    profile = found.profiles[0]
    assert _suggest_by_profile(source, view, found, profile)
    assert not _suggest_by_profile(source, view, found, replace(profile, p_value=0.06))


def test_without_repetitions_seeds_are_asked_for_and_with_them_rivals_are_counted() -> None:
    assert any("sweep.test_seeds=3" in text for text in steps(grid([[0.0], [0.5], [1.0]])))
    # Residuals of the two-way model: 2 of 1/15 and 4 of 1/30, so a variance of 1/300 with 4 degrees of freedom, and a
    # margin of t sqrt(2/900) = 0.131. The difference of 0.05 would need 3 (0.131 / 0.05)^2 = 20.6 seeds.
    texts = steps(grid([[0.0, 0.1, 0.2], [0.8, 1.0, 0.9], [0.85, 1.05, 0.95]]))
    assert any("1 setting is within noise of the best" in text and "more than 10 seeds" in text for text in texts)
    texts = steps(grid([[0.0, 0.1, 0.2], [0.8, 1.0, 0.9], [0.9, 1.1, 1.0]]))
    # The difference of 0.1 needs 3 (0.131 / 0.1)^2 = 5.1.
    assert any(text.endswith("sweep.seeds=6 has about an even chance to show each") for text in texts)
    # Now the margin is 0.065: the two others would need 1.3 seeds, and more than there are, and 128.
    texts = steps(grid([[0.85, 0.95, 0.9], [0.9, 1.1, 1.0], [0.89, 1.09, 0.99]]))
    assert any(text.endswith("sweep.seeds=4 has about an even chance to show the largest") for text in texts)


def test_noise_alone_gives_no_advice_but_seeds_and_rest() -> None:
    for seed in range(6):
        texts = steps(search(lambda point: 0.0, 20, 1.0, seed))
        assert not any("narrow" in text or "lies at the" in text or "best choice" in text for text in texts)


def failures(source: Source) -> list[Statement]:
    return [one for view in analyse_sweep(source).views for one in view.failures]


def test_failures_are_placed_where_they_lie() -> None:
    lrs = [10 ** (-5 + n / 5) for n in range(15)]
    trials = [
        trial(n, {"ppo.lr": lr, "ppo.kl_coef": 0.01 * (1 + n % 3)}, [1.0 * n])
        if n < 11
        else trial(n, {"ppo.lr": lr, "ppo.kl_coef": 0.01 * (1 + n % 3)}, None, state="failed", cause="diverged")
        for n, lr in enumerate(lrs)
    ]
    (found,) = failures(of(trials))
    assert (
        found.text == "4 of 15 trials ended as diverged, all with ppo.lr from 0.00158 on (4 trials are in this range)"
    )


def test_failures_below_a_value_are_placed_there() -> None:
    points = [{"ppo.lr": 10 ** (-5 + n / 5)} for n in range(15)]
    trials = [
        trial(n, point, [1.0 * n]) if n > 3 else trial(n, point, None, state="failed", cause="out_of_memory")
        for n, point in enumerate(points)
    ]
    (found,) = failures(of(trials))
    assert (
        found.text
        == "4 of 15 trials ended as out_of_memory, all with ppo.lr up to 3.98e-05 (4 trials are in this range)"
    )


def test_trials_beyond_the_kl_budget_are_counted() -> None:
    kept = [trial(n, {"ppo.lr": 1e-4 * (n + 1)}, [1.0], runs=[run(n, 0, 1.0, best={"update": 5})]) for n in range(5)]
    lost = [trial(5, {"ppo.lr": 5e-3}, [-0.1], runs=[run(5, 0, -0.1, best=None)])]
    (found,) = failures(of([*kept, *lost]))
    assert found.text.startswith("1 of 6 trials had no evaluation within objective.kl_budget")


@pytest.mark.parametrize(
    ("low", "high", "override"),
    [
        (1.0, 2.0, "key='interval(0.5,1.3)'"),  # as much again would be 0: no further than half of the edge
        (10.0, 12.0, "key='interval(8,11)'"),
        (-3.0, -1.0, "key='interval(-5,-2.4)'"),
        (-1.0, 1.0, None),  # 0 is within: a lower edge below it may be none of sense
    ],
)
def test_a_linear_interval_is_widened_downwards(low: float, high: float, override: str | None) -> None:
    """The objective falls from the lower end on."""
    places = np.linspace(0, 1, 14)
    trials = [trial(n, {"key": low + p * (high - low)}, [-3 * p + 0.02 * (-1) ** n]) for n, p in enumerate(places)]
    (edge,) = found_edges(of(trials, space={"key": f"interval({low},{high})"}))
    assert (edge.is_high, edge.override) == (False, override)


def test_an_end_is_spoken_of_only_where_it_beats_its_neighbour_by_more_than_noise() -> None:
    """Two runs at the end, four beside it: the same pair decides as for the lead."""
    (edge,) = found_edges(grid([[0.0, 0.02], [0.5, 0.51, 0.49, 0.5], [0.99, 1.01]]))
    assert edge.rise == pytest.approx(0.5)
    assert edge.probability > 0.975  # p at most 0.05
    assert not found_edges(grid([[0.0, 0.2], [0.5, 0.6, 0.4, 0.5], [0.6, 0.8]]))


@pytest.mark.parametrize(
    ("choices", "override"),
    [
        ((1, 2), "key=2,4,8"),  # doubled is a ratio, and goes on as one
        ((2, 3), "key=3,4,5"),
        ((1, 3), "key=3,9,27"),
        ((1, 4), "key=4,8,16"),  # from four times on at half the pace
        ((0.1, 0.15), "key=0.15,0.2,0.25"),
        ((0, 5), "key=5,10,15"),
    ],
)
def test_a_list_goes_on_as_it_came(choices: tuple[float, float], override: str) -> None:
    """Two settings with three seeds each; the second is better."""
    points = [{"key": value} for value in choices]
    (edge,) = found_edges(
        swept(points, [[0.0, 0.1, 0.05], [1.0, 1.1, 1.05]], space={"key": f"choice({choices[0]},{choices[1]})"})
    )
    assert (edge.is_high, edge.override) == (True, override)


def test_the_second_of_a_long_list_is_no_end_of_it() -> None:
    values = [[0.1 * n + noise for noise in (0.0, 0.01)] for n in (3, 4, 2, 1, 0)]
    assert not found_edges(grid(values, ("1", "2", "3", "4", "5")))


def test_a_key_that_is_to_be_widened_is_not_narrowed_in_the_same_breath() -> None:
    texts = steps(search(hill(-1.0), 20, 0.1, seed=1))
    (widened,) = [text for text in texts if "ppo.lr" in text]
    assert widened.startswith("best ppo.lr 0.00")
    assert " lies at the upper end of its interval, and the objective still rises there: try ppo.lr='tag(" in widened
    source = search(lambda point: -hill(-6.0)(point), 24, 0.05, seed=1)
    (lower,) = [text for text in steps(replace(source, directions=("minimize",))) if "ppo.lr" in text]
    assert " lies at the lower end of its interval, and" in lower


def test_the_choice_that_is_surely_best_is_to_be_kept() -> None:
    points = [{"kind": "abc"[n % 3], "ppo.lr": 1e-4 * (n + 1)} for n in range(24)]
    worths = {"a": 0.5, "b": 2.0, "c": 0.0}
    values = [[worths[str(point["kind"])] + 0.05 * (-1) ** (n // 3)] for n, point in enumerate(points)]
    space = {"kind": "choice(a,b,c)", "ppo.lr": "interval(1e-4,3e-3)"}
    assert "kind=b is the best choice: keep it in the next search" in steps(swept(points, values, space=space))


@pytest.mark.parametrize(
    ("last", "text"),
    [
        # Of 12 trials of a minute the last four hold the best, or none beyond the noise of about 0.1.
        (3.0, "the last third of the trials still found better settings: raise hydra.sweeper.n_trials to 24"),
        (0.0, "the last third of the trials found nothing better beyond noise: more trials are unlikely to"),
    ],
)
def test_more_trials_are_worth_it_where_the_last_ones_found_better(last: float, text: str) -> None:
    random = np.random.default_rng(7)
    tops = np.array([1.0, 0.5, 0.8, 0.2, 0.9, 0.4, 0.7, 0.3, 0.0, last, 0.1, 0.6])
    points = [{"ppo.lr": 10 ** (-5 + top)} for top in tops]
    values = [[float(top) + 0.1 * random.standard_normal()] for top in tops]
    assert any(one.startswith(text) for one in steps(swept(points, values)))


@pytest.mark.parametrize(
    ("words", "override"),
    [
        (["seed=0,1,2"], "seed=0,1,2,3,4,5"),
        (["seed=range(3)"], "seed=0,1,2,3,4,5"),
        (["hydra.sweeper.params.seed=[0,1,2]"], "seed=0,1,2,3,4,5"),
        (["seed=0", "sweep.seeds=3"], "sweep.seeds=6"),
        (["sweep.seeds=3"], "sweep.seeds=6"),
    ],
)
def test_seeds_that_were_listed_are_listed_again(words: list[str], override: str) -> None:
    plan = SweepPlan(seeds=[0, 1, 2], arguments=["-m", "ppo.lr=1,2", *words])
    source = replace(grid([[0.0, 0.1, 0.2], [0.8, 1.0, 0.9], [0.9, 1.1, 1.0]]), plan=plan)
    (step,) = [step for one in analyse_sweep(source).views for step in one.steps if "chance to show" in step.text]
    assert f"{override} has about an even chance" in step.text
    others = [word for word in words if not word.partition("=")[0].endswith(("seed", "seeds")) or word == "seed=0"]
    others = [word for word in others if not override.startswith("seed=")]
    assert shlex.split(step.command)[3:] == ["-m", "ppo.lr=1,2", *others, override]


def test_planned_test_seeds_are_run_rather_than_proposed() -> None:
    plan = SweepPlan(seeds=[0], test_seeds=[7, 8, 9], arguments=["-m", "ppo.lr=1,2", "sweep.test_seeds=3"])
    source = replace(grid([[0.0], [0.5], [1.0]]), plan=plan, folder=Path("o"))
    (step,) = [step for one in analyse_sweep(source).views for step in one.steps]
    assert step.text.endswith("its sweep.test_seeds=3 have not been run yet")
    assert shlex.split(step.command)[3:] == ["-m", "ppo.lr=1,2", "sweep.test_seeds=3", "hydra.sweep.dir=o"]


def test_the_list_of_a_tied_key_has_no_command_and_an_added_key_keeps_its_plus() -> None:
    clear = grid([[0.0, 0.1, 0.05], [0.5, 0.4, 0.45], [1.0, 1.1, 1.05]])
    tied = (Axis("ppo.lr", ("1", "2")), Axis("ppo.kl_coef", ("1", "2"), tied_to="ppo.lr"))
    for space, has_command in ((tied, False), (tied[:1], True)):
        source = replace(clear, plan=SweepPlan(axes=space, arguments=["-m", "ppo.lr=1,2"]))
        (widened,) = [step for one in analyse_sweep(source).views for step in one.steps if "lies at" in step.text]
        assert bool(widened.command) == has_command
    points: list[dict[str, object]] = [{"key": 1}, {"key": 2}]
    space = [Axis("+key", ("1", "2"), 1.0, 2.0)]
    source = replace(swept(points, [[0.0, 0.1, 0.05], [1.0, 1.1, 1.05]]), space=space)
    (edge,) = found_edges(source)
    assert edge.override == "+key=2,4,8"
    assert write_axis(Axis("+key", (), 1, 64, True, True), 30.2, 640) == "+key='tag(int,log,interval(30,640))'"


def test_a_sweep_is_continued_by_the_word_that_began_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However its folder is typed, the report has the same bytes; a sweep that was moved is named by its place."""
    for folder, begun in (("s", tmp_path / "s"), ("moved", tmp_path / "s")):
        Sweep(tmp_path / folder).hydra_file.parent.mkdir(parents=True)
        Sweep(tmp_path / folder).hydra_file.write_text(f"hydra:\n  sweep:\n    dir: {begun}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert _name_folder(Path("s")) == _name_folder(tmp_path / "s") == tmp_path / "s"
    assert _name_folder(Path("moved")) == Path("moved")
