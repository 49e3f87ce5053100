"""Next steps after a comparison of reward models keep the sweep's overrides, and propose nothing that was done."""

import shlex
from collections.abc import Sequence

import pytest
from helpers.compared_runs import judged

from analysis.comparison.compare import compare_groups
from analysis.records.runs import Source, TrialRecord
from analysis.views.winner_steps import write_next_sentences
from rlhf_sweeps.record import Axis, SweepPlan

WORDS = [
    "-m", "reward_model=tiny,length", "experiment=compare_reward_models", "dataset=local",
    "dataset.path=my pairs.jsonl",
]  # fmt: skip


def compared(
    rates: Sequence[float], others: Sequence[float], words: Sequence[str] = WORDS, axes: Sequence[Axis] = ()
) -> list[str]:
    """The sentences on a sweep over two reward models: the win rates of each seed of tiny, and of length."""
    runs = [judged(f"0/seed_{seed}", "tiny", seed, tiny=0.9, length=rate) for seed, rate in enumerate(rates)]
    runs += [judged(f"1/seed_{seed}", "length", seed, length=0.9, tiny=rate) for seed, rate in enumerate(others)]
    trials = [
        TrialRecord(
            number, "complete", {"reward_model": name}, [1.0], runs=[run for run in runs if run.name[0] == place]
        )
        for number, (place, name) in enumerate({"0": "tiny", "1": "length"}.items())
    ]
    swept = [Axis("reward_model", ("tiny", "length")), *axes]
    plan = SweepPlan(swept, seeds=range(len(rates)), arguments=list(words), is_comparison=True)
    source = Source("s", "sweep", runs, trials, plan=plan, space=swept, is_comparison=True)
    return write_next_sentences(compare_groups(source, "reward_model"), source)


CLEAR = ((0.9, 0.91, 0.92, 0.9), (0.3, 0.31, 0.29, 0.3))


def test_the_search_keeps_the_overrides_of_the_sweep() -> None:
    (text,) = compared(*CLEAR)
    start, command = text.split(": ", 1)
    assert start == "Search for settings with the winner"
    assert shlex.split(command) == [
        "python", "-m", "rlhf_sweeps", "-m", "experiment=compare_reward_models", "dataset=local",
        "dataset.path=my pairs.jsonl", "reward_model=tiny", "search=lr_kl_clip",
    ]  # fmt: skip


def test_the_search_has_its_own_ranges_and_as_many_seeds() -> None:
    words = [*WORDS, "ppo.lr=1e-4,1e-3", "seed=0,1,2,3"]
    (text,) = compared(*CLEAR, words, [Axis("ppo.lr", ("1e-4", "1e-3"))])
    command = shlex.split(text.split(": ", 1)[1])
    assert not [word for word in command if word.startswith(("ppo.lr=", "seed="))]
    assert command[-3:] == ["reward_model=tiny", "search=lr_kl_clip", "sweep.seeds=4"]


def test_a_search_is_not_proposed_after_a_search() -> None:
    interval = Axis("ppo.lr", (), 1e-5, 1e-3)
    assert interval.is_interval
    assert compared(*CLEAR, [*WORDS, "search=lr_kl_clip"], [interval]) == []


@pytest.mark.parametrize(("num", "proposed"), [(1, 5), (2, None)])
def test_more_seeds_are_proposed_than_there_are(num: int, proposed: int | None) -> None:
    (text,) = compared((0.7, 0.6)[:num], (0.54, 0.51)[:num])
    seeds = int(text.rsplit("sweep.seeds=", 1)[1])
    assert seeds > num
    if proposed is not None:
        assert seeds == proposed
    assert shlex.split(text.split(": ", 1)[1])[:-1] == ["python", "-m", "rlhf_sweeps", *WORDS]
