"""What readers are told where prompts are in the noise: of the lead, of more seeds, and of what to do."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from helpers.sweep_sources import of, run, trial
from numpy.typing import NDArray

from analysis.records.runs import RunRecord, Source
from analysis.results.ranking import rank_source
from analysis.sweep.analysis import analyse_sweep
from analysis.views.noise import write_noise_sentences

CONFIG = {"objective.metrics": ["eval/score"], "objective.directions": ["maximize"]}
SEEDS = (0.05, 0.0, -0.05)
ON_SOME, ON_ALL = (6.0, -4.0, 5.0, -3.0), (1.0, 1.0, 1.0, 1.0)


Table = NDArray[np.float64]


def make_run(number: int, seed: int, scores: Sequence[float]) -> RunRecord:
    samples = [
        {"update": 5, "prompt": str(prompt), "score": score, "base_score": 0.0} for prompt, score in enumerate(scores)
    ]
    made = run(number, seed, float(np.mean(scores)), best={"update": 5, "kl": 1.0}, updates_within_budget=[5])
    return replace(made, config={**made.config, **CONFIG}, read_samples=lambda: samples)


def make_sweep(gains: Sequence[float]) -> Source:
    """Two settings on three seeds and four prompts; the first is better by the gains, and seeds hardly differ."""
    seeds = np.array(SEEDS)[:, None]
    return make_trials([np.array(gains) + seeds, np.zeros(4) - seeds])


def make_trials(tables: Sequence[Table]) -> Source:
    """A sweep of settings by their scores, (seeds, prompts) each."""
    trials = []
    for number, table in enumerate(tables):
        runs = [make_run(number, seed, scores) for seed, scores in enumerate(table.tolist())]
        trials.append(trial(number, {"ppo.lr": 1e-4 * 2**number}, [float(table.mean())], runs=runs))
    return of(trials)


def test_a_decided_lead_is_more_than_seeds_and_prompts_differ() -> None:
    (sentence,) = write_noise_sentences(rank_source(make_sweep(ON_ALL)))
    assert sentence.startswith("Yes: Trial 0 is better than every other by more than seeds and prompts differ, with ")


@pytest.mark.parametrize(("lost", "noise"), [(2, "seeds"), (3, "seeds and prompts")])
def test_prompts_are_named_only_if_they_count_against_every_other_setting(lost: int, noise: str) -> None:
    """Three settings; the one with the number `lost` has no samples."""
    seeds = np.array(SEEDS)[:, None]
    made = make_trials([seeds + np.array(ON_ALL) - 5 * number for number in range(3)])
    trials = [
        replace(each, runs=[replace(one, read_samples=list) for one in each.runs]) if each.number == lost else each
        for each in made.trials
    ]
    (sentence,) = write_noise_sentences(rank_source(of(trials)))
    assert sentence.startswith(f"Yes: Trial 0 is better than every other by more than {noise} differ, with ")


def test_a_lead_on_a_few_prompts_is_noise_that_more_seeds_do_not_lessen() -> None:
    """The variance of prompts is 82 / 3 / 4 with 3 degrees of freedom, that of seeds 0.01 / 3: 3.18 x 2.61 is 8.32."""
    source = make_sweep(ON_SOME)
    first, power = write_noise_sentences(rank_source(source))
    assert first.startswith("No: trial 1 is within noise of trial 0; ")
    assert power == (
        "3 seeds a setting cannot decide a lead below 8.32; more seeds help little, since most of this noise comes "
        "from the prompts: raise eval.num_prompts"
    )
    steps = [step.text for view in analyse_sweep(source).views for step in view.steps]
    wanted = (
        "1 setting is within noise of the best, trial 0; with so few held-out prompts no number of seeds can decide "
        "this: raise eval.num_prompts"
    )
    assert [text for text in steps if "within noise" in text] == [wanted]


@pytest.mark.parametrize("num_hidden", [1, 2])
def test_only_the_settings_that_prompts_hide_are_said_to_be_beyond_any_number_of_seeds(num_hidden: int) -> None:
    """Prompts do not tell trial 1 from the best, but its lead of 0.02 is too small for the seeds, which differ by 1."""
    seeds = np.array([[1.0], [0.0], [-1.0]])
    best, near = seeds + ON_ALL, -seeds + np.array(ON_ALL) - 0.02
    hidden = [seeds + np.array(ON_ALL) - ON_SOME - 0.1 * place for place in range(num_hidden)]
    steps = [step.text for view in analyse_sweep(make_trials([best, near, *hidden])).views for step in view.steps]
    others = {1: "the other one", 2: "the other 2"}[num_hidden]
    assert [text for text in steps if "within noise" in text] == [
        f"{1 + num_hidden} settings are within noise of the best, trial 0; 1 of the differences would need more than "
        f"10 seeds a setting, and with so few held-out prompts no number of seeds can decide {others}: raise "
        "eval.num_prompts"
    ]


def test_without_samples_nothing_is_said_of_prompts() -> None:
    source = make_sweep(ON_SOME)
    trials = [replace(each, runs=[replace(made, read_samples=list) for made in each.runs]) for each in source.trials]
    (sentence,) = write_noise_sentences(rank_source(of(trials)))
    assert "by more than seeds differ, with " in sentence


@pytest.mark.parametrize("changed", [{"objective.reduction": "frontier"}, {"objective.metrics": ["eval/net_score"]}])
def test_other_objectives_have_no_prompts(changed: dict[str, object]) -> None:
    trials = [
        replace(each, runs=[replace(made, config={**made.config, **changed}) for made in each.runs])
        for each in make_sweep(ON_SOME).trials
    ]
    (sentence,) = write_noise_sentences(rank_source(of(trials)))
    assert "by more than seeds differ, with " in sentence
