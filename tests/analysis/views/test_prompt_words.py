"""What readers are told where prompts are in the noise: of the lead, of more seeds, and of what to do."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from helpers.sweep_sources import of, run, trial

from analysis.records.runs import RunRecord, Source
from analysis.results.ranking import rank_source
from analysis.sweep.analysis import analyse_sweep
from analysis.views.noise import write_noise_sentences

CONFIG = {"objective.metrics": ["eval/score"], "objective.directions": ["maximize"]}
SEEDS = (0.05, 0.0, -0.05)
ON_SOME, ON_ALL = (6.0, -4.0, 5.0, -3.0), (1.0, 1.0, 1.0, 1.0)


def make_run(number: int, seed: int, scores: Sequence[float]) -> RunRecord:
    samples = [
        {"update": 5, "prompt": str(prompt), "score": score, "base_score": 0.0} for prompt, score in enumerate(scores)
    ]
    made = run(number, seed, float(np.mean(scores)), best={"update": 5, "kl": 1.0}, updates_within_budget=[5])
    return replace(made, config={**made.config, **CONFIG}, read_samples=lambda: samples)


def make_sweep(gains: Sequence[float]) -> Source:
    """Two settings on three seeds and four prompts; the first is better by the gains, and seeds hardly differ."""
    trials = []
    for number, (gain, sign) in enumerate(((np.array(gains), 1), (np.zeros(4), -1))):
        runs = [make_run(number, seed, (gain + sign * SEEDS[seed]).tolist()) for seed in range(3)]
        mean = float(np.mean([made.objectives or [0.0] for made in runs]))
        trials.append(trial(number, {"ppo.lr": (1e-4, 1e-3)[number]}, [mean], runs=runs))
    return of(trials)


def test_a_decided_lead_is_more_than_seeds_and_prompts_differ() -> None:
    (sentence,) = write_noise_sentences(rank_source(make_sweep(ON_ALL)))
    assert sentence.startswith("Yes: Trial 0 is better than every other by more than seeds and prompts differ, with ")


def test_a_lead_on_a_few_prompts_is_noise_that_more_seeds_do_not_lessen() -> None:
    """The variance of prompts is 82 / 3 / 4 with 3 degrees of freedom, that of seeds 0.01 / 3: 3.18 x 2.61 is 8.32."""
    source = make_sweep(ON_SOME)
    first, power = write_noise_sentences(rank_source(source))
    assert first.startswith("No: trial 1 is within noise of trial 0; ")
    assert power == (
        "3 seeds a setting cannot decide a lead below 8.32; more help little, since most of this noise comes from the "
        "prompts: raise eval.num_prompts"
    )
    steps = [step.text for view in analyse_sweep(source).views for step in view.steps]
    wanted = (
        "1 setting is within noise of the best, trial 0; no number of seeds can show a difference on these prompts: "
        "raise eval.num_prompts"
    )
    assert [text for text in steps if "within noise" in text] == [wanted]


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
