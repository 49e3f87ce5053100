"""What to do after a comparison of reward models, with commands that keep the overrides of the sweep."""

import math
from collections.abc import Sequence
from dataclasses import replace

from analysis.comparison.compare import GroupComparison
from analysis.comparison.run_values import OBJECTIVE
from analysis.records.runs import RunRecord, Source
from analysis.sweep.next_steps import choose_seeds
from analysis.sweep.settings import REWARD_MODEL
from rlhf_sweeps.verdicts.pairs import NOISE, UNKNOWN

_MAX_SEEDS = 30  # that are proposed to show a difference; more would cost too much; chosen
_FEW_SEEDS, _SOME_SEEDS = 3, 5  # the fewest that are proposed for a small difference, and for an unknown one; chosen
_SEARCH, _SEED = "search=lr_kl_clip", "seed"


def write_next_sentences(comparison: GroupComparison, source: Source) -> list[str]:
    """What to do with the answer: search with the winner, or run more seeds where noise hides it.

    Nothing is proposed that the sweep has done already.
    """
    groups = comparison.valued_groups
    if len(groups) < 2 or comparison.ranking is None:
        return []
    if comparison.measure.name == OBJECTIVE:
        judged = all(run.config.get("eval.judge_each_other") is True for run in source.runs)
        text = "Let them judge each other (eval.judge_each_other=true), or name a common judge (eval.judges)"
        return ["Name a common judge (eval.judges)" if judged else text]
    if comparison.winner:
        return _propose_search(source, groups[0].label)
    first, second = groups[:2]
    pair = comparison.ranking.against_best(second.label)
    fewest = min(len(first.values), len(second.values))
    if pair is None or pair.verdict == UNKNOWN or not pair.difference or fewest < 2:
        number = _SOME_SEEDS if fewest < _SOME_SEEDS else 2 * fewest
        reason = f"Run every reward model on {number} seeds to show whether the difference is noise"
        return [_write_step(reason, source, number)] if number <= _MAX_SEEDS else []
    # The interval's half width shrinks with the root of the runs.
    seeds = math.ceil(fewest * ((pair.high - pair.low) / 2 / pair.difference) ** 2)
    if pair.verdict == NOISE and seeds > _MAX_SEEDS:
        return [
            f"{first.label} and {second.label} are so close that more than {_MAX_SEEDS} seeds of each would be needed "
            "to distinguish them: take the cheaper one"
        ]
    number = max(seeds, fewest + 1, _FEW_SEEDS)
    return [_write_step(f"About {number} seeds of each distinguish {first.label} from {second.label}", source, number)]


def _propose_search(source: Source, winner: str) -> list[str]:
    """A search with the winner; nothing where the sweep has searched already."""
    if any(axis.is_interval for axis in source.plan.axes):
        return []
    text = "Search for settings with the winner"
    choices = {trial.settings.get(REWARD_MODEL) for trial in source.trials if _is_trained_on(trial.runs, winner)}
    if len(choices) != 1 or (choice := choices.pop()) is None or source.plan.arguments is None:
        return [f"{text}: {_SEARCH}, with its reward model"]
    # The search has its own ranges for keys that were swept, and its own way to give several seeds.
    swept = {axis.key.lstrip("+") for axis in source.plan.axes} | {_SEED}
    words = [word for word in source.plan.arguments if _read_key(word) not in swept]
    lists_seeds = any(_read_key(word) == _SEED for word in source.plan.arguments) and len(source.plan.seeds) > 1
    seeds = [f"sweep.seeds={len(source.plan.seeds)}"] if lists_seeds else []
    plan = replace(source.plan, arguments=words)
    return [f"{text}: {plan.changed_command(f'{REWARD_MODEL}={choice}', _SEARCH, *seeds)}"]


def _is_trained_on(runs: Sequence[RunRecord], reward_model: str) -> bool:
    return any(str(run.look_up(REWARD_MODEL)) == reward_model for run in runs)


def _read_key(word: str) -> str:
    """The key of an override, also of one that gives a key of a search its values."""
    return word.lstrip("+~").partition("=")[0].removeprefix("hydra.sweeper.params.")


def _write_step(text: str, source: Source, number: int) -> str:
    """The text, and the command of the same sweep on so many seeds; where its words are unknown, the override."""
    override = choose_seeds(source.plan, number)
    return f"{text}: {source.plan.changed_command(override) or override}"
