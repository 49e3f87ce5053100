"""What a setting chosen as the best of several comes to on a seed that did not choose it.

The best of several settings looks better than it is on the seeds that chose it. So each seed is left out in turn: the
other seeds choose a setting by the rule of the sweep, and what this setting is worth on the seed left out counts. The
mean over the seeds is the figure to report, and it takes no further run (cross-validation of a choice; Tibshirani and
Tibshirani 2009, Annals of Applied Statistics 3, 822-829, on the bias of the best of several). The choice rests on one
seed fewer than that of the sweep, so the figure is rather too low than too high.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.settings import keeps_constraints, mean_violations, rank_key


@dataclass(frozen=True)
class SettingBySeed:
    """A complete setting, whether it keeps the constraints or not: without a seed, that may be otherwise.

    Attributes:
        chosen: seed -> objective, on the seeds that choose settings.
        tested: test seed -> objective; empty if the setting was not run on any.
        broken: seed that chooses -> constraint -> by how much its run breaks it, as `mean_violations` takes them.
        failed: the test seeds whose run ended without an objective.
    """

    chosen: Mapping[int, float]
    tested: Mapping[int, float]
    broken: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    failed: Collection[int] = ()

    def is_feasible(self, left_out: int | None = None) -> bool:
        """Whether it keeps all constraints, in the mean over the seeds that choose, without the one left out."""
        return keeps_constraints(mean_violations(rows for seed, rows in self.broken.items() if seed != left_out))


@dataclass(frozen=True)
class LeftOut:
    """The figure to report.

    Attributes:
        mean: over the seeds, in the units of the objective.
        seeds: each was left out once.
        is_tested: whether these are test seeds.
        num_prompts: the number of confirming prompts, whose score is averaged; None: the objectives are averaged.
    """

    mean: float
    seeds: Sequence[int]
    is_tested: bool
    num_prompts: int | None

    @property
    def basis(self) -> str:
        """`each of 3 test seeds left out in turn, 72 confirming prompts`: what the mean rests on."""
        noun, num = "test seed" if self.is_tested else "seed", len(self.seeds)
        seeds = f"each of {num} {noun}s left out in turn" if num > 1 else f"{noun} {self.seeds[0]} left out"
        return seeds + ("" if self.num_prompts is None else f", {self.num_prompts} confirming prompts")


def choose_for_each_seed(
    settings: Sequence[SettingBySeed], direction: str, pruning_seeds: Collection[int] = ()
) -> dict[int, int]:
    """Seed -> the place of the setting that all other seeds choose.

    If settings were run on test seeds, only these settings can be chosen and only test seeds are left out: the choice
    of the settings that are tested belongs to what is measured. A seed is left out only if all of these settings have a
    value there, so that whatever is chosen can be measured. The seed left out has no part in the constraints either: of
    the settings that keep them on the other seeds one is chosen, and if none does, the seed gives no value. Test seeds
    have no part in the constraints, so that a tested setting that breaks one is never chosen.

    Args:
        settings: in the order of their trials; of equal ones the first is chosen.
        direction: "maximize" or "minimize".
        pruning_seeds: seeds on which settings were pruned, or put off in favour of others until the sweep ended. What
            is complete was chosen by these seeds, so that they cannot be left out; test seeds prune nothing.

    Returns:
        Empty if there is nothing to choose from, no setting keeps the constraints, or no seed can be left out: with one
        seed there is no other one. Empty, too, if all runs on test seeds failed: whoever wanted them is to be told so,
        and not another figure.
    """
    is_tested = any(setting.tested or setting.failed for setting in settings)
    pool = [
        place for place, setting in enumerate(settings) if not is_tested or (setting.tested and setting.is_feasible())
    ]
    rows = [settings[place].tested if is_tested else settings[place].chosen for place in pool]
    if len(pool) < 2 or not any(setting.is_feasible() for setting in settings):
        return {}
    if not is_tested and any(len(row) < 2 for row in rows):
        return {}
    choice: dict[int, int] = {}
    for seed in [seed for seed in rows[0] if all(seed in row for row in rows)]:
        if is_tested or seed not in pruning_seeds:
            feasible = [place for place in pool if is_tested or settings[place].is_feasible(seed)]
            keys = {place: _make_key(settings[place], seed, direction) for place in feasible}
            choice |= {seed: min(feasible, key=keys.__getitem__)} if feasible else {}
    return choice


def measure_left_out(
    settings: Sequence[SettingBySeed],
    direction: str,
    find_confirmed: Callable[[int, int], tuple[float, int] | None],
    pruning_seeds: Collection[int] = (),
) -> LeftOut | None:
    """The figure to report; None if `choose_for_each_seed` finds no seed to leave out.

    Args:
        settings, direction, pruning_seeds: see `choose_for_each_seed`.
        find_confirmed: takes the place of a setting and a seed; gives the score of that run on the confirming prompts
            and their number, or None. The scores count if all runs whose values are averaged have one.
    """
    choice = choose_for_each_seed(settings, direction, pruning_seeds)
    if not choice:
        return None
    confirmed = [find_confirmed(place, seed) for seed, place in choice.items()]
    measured = [pair for pair in confirmed if pair is not None]
    is_tested = any(setting.tested for setting in settings)
    if len(measured) == len(confirmed):
        return LeftOut(fmean(score for score, _ in measured), list(choice), is_tested, min(num for _, num in measured))
    values = [(settings[place].tested if is_tested else settings[place].chosen)[seed] for seed, place in choice.items()]
    return LeftOut(fmean(values), list(choice), is_tested, None)


def is_test_mean_to_report(num_tested: int, num_objectives: int) -> bool:
    """Whether test seeds had no part in choosing the setting, so that its mean there is the number to report.

    Args:
        num_tested: the number of settings with values on test seeds; the test seeds chose among them.
        num_objectives: of several, test seeds choose nothing.
    """
    return num_tested == 1 or (num_objectives > 1 and num_tested > 0)


def write_left_out(figure: LeftOut, name: str) -> str:
    """The sentence about the figure, the same in all outputs.

    It stands under a best setting, whose own value it is not: other seeds may choose other settings.

    Args:
        name: of the objective.
    """
    quantity, place = (name, "a seed") if figure.num_prompts is None else ("score", "a seed and prompts")
    meaning = f"what a setting chosen in this way comes to on {place} that did not choose it"
    return f"to report: {quantity} {format_number(figure.mean)}, {meaning} ({figure.basis})"


def _make_key(setting: SettingBySeed, seed: int, direction: str) -> tuple[bool, list[float], list[float]]:
    """The key that sorts a setting by all other seeds."""
    worth, on_tests = (_average_others(values, seed) for values in (setting.chosen, setting.tested))
    return rank_key(worth or [], on_tests, [direction])


def _average_others(values: Mapping[int, float], seed: int) -> list[float] | None:
    """The mean over all other seeds; None without one."""
    others = [value for other, value in values.items() if other != seed]
    return [fmean(others)] if others else None
