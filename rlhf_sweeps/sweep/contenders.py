"""The reward models that a sweep compares: which they are, and what every run must know of the others.

Where a sweep varies its reward model by lists, each run is scored on a common scale, and each reward model judges what
all others have made of the policy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.distributions import CategoricalDistribution

from rlhf_sweeps.config.references import recorded, unresolved, written
from rlhf_sweeps.config.reward_models import RewardModelConfig
from rlhf_sweeps.record import Run, Sweep, as_mapping
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.results import by_reward_model, ranking
from rlhf_sweeps.sweep.search.search_space import SearchSpace
from rlhf_sweeps.sweep.study.trials import Trial
from rlhf_sweeps.verdicts.matrix import Compared

Contenders = dict[str, dict[str, Any]]


def contenders(space: SearchSpace, composer: Composer) -> Contenders:
    """Name -> plain config of each reward model of a sweep; none where there are fewer than two.

    Reward models of one name are told apart by the values that differ: length[weight=0.1].

    Raises:
        HydraException, OmegaConfBaseException, ConfigError: as `Composer.config`.
    """
    swept = [parameter for parameter in space.parameters if parameter.name.startswith(("reward_model", "experiment"))]
    if not swept or not all(isinstance(parameter.distribution, CategoricalDistribution) for parameter in swept):
        return {}
    points = space.grid() if space.is_grid else space.probes()
    found: list[RewardModelConfig] = []
    # Other keys than these do not change the reward model: every combination of them is looked at once.
    for point in {repr([point.get(p.name) for p in swept]): point for point in points}.values():
        config = replace(composer.config(space.overrides(point)).reward_model, normalize=None)
        if config not in found:
            found.append(config)
    return {_label(config, found): asdict(config) for config in found} if len(found) > 1 else {}


def introduce(task: DictConfig, others: Contenders) -> DictConfig:
    """A run's config with the other reward models as judges, and on a common scale, unless it says otherwise."""
    own = OmegaConf.to_container(task.reward_model, resolve=True)
    assert isinstance(own, dict)
    normalize = own["normalize"] is not False
    own_label = _label_of({**own, "normalize": None}, others)
    if own_label is None:
        return task
    task = task.copy()
    with open_dict(task):
        task.reward_model = {**written(task.reward_model), "name": own_label, "normalize": normalize}
        if task.eval.judge_each_other:
            given = [written(judge) for judge in task.eval.judges]
            new = [{**unresolved(config), "name": label} for label, config in others.items()]
            task.eval.judges = [*given, *(judge for judge in new if judge not in given)]
    return task


def _label_of(own: Mapping[Any, Any], others: Contenders) -> str | None:
    """What a reward model goes by; a name that asks Hydra for the trial's number is another one in every trial."""
    exact = [label for label, config in others.items() if config == own]
    alike = [label for label, config in others.items() if {**config, "name": own["name"]} == own]
    return next(iter(exact or (alike if len(alike) == 1 else [])), None)


def best_settings(
    trials: Sequence[Trial], sweep: Sweep, seeds: Sequence[int], directions: Sequence[str]
) -> list[Compared]:
    """What each reward model has made of the policy with the setting that suits it best, in the order of the trials.

    Args:
        seeds: of every trial; a trial of several has a run for each.
        directions: of the objectives.
    """
    groups = by_reward_model(trials).items()
    best = {name: ranked[0] for name, ones in groups if (ranked := ranking(ones, directions))}
    return [Compared(name, one.number, one.settings, _runs(one, sweep, seeds)) for name, one in best.items()]


def trained_on(run: Run) -> str | None:
    """The name of a run's reward model; None where its record does not tell."""
    reward_model = as_mapping(as_mapping((run.start() or {}).get("config")).get("reward_model"))
    name = reward_model.get("name")
    return name if isinstance(name, str) else None


def _runs(trial: Trial, sweep: Sweep, seeds: Sequence[int]) -> list[Run]:
    return [sweep.run(trial.number, seed) for seed in seeds] if len(seeds) > 1 else [sweep.run(trial.number, None)]


def _label(config: RewardModelConfig, all_of_them: Sequence[RewardModelConfig]) -> str:
    """What the comparison calls it; a path's slashes become colons, since metrics are named after it."""
    namesakes = [recorded(asdict(other)) for other in all_of_them if other.name == config.name]
    own = recorded(asdict(config))
    differing = [key for key in own if any(key in other and other[key] != own[key] for other in namesakes)]
    if not differing:
        return config.name
    told = ",".join(f"{key}={own[key]}" for key in differing).replace("${", "{")  # which the name would resolve
    return f"{config.name}[{told}]".replace("/", ":")
