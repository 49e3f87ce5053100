"""The reward models that a sweep compares, and how every run's config is extended by the others.

If a sweep varies its reward model by lists, each run is scored on a common scale, and each reward model judges the
policies of all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.distributions import CategoricalDistribution

from rlhf_sweeps.config.references import read_with_references, redact, restore_references
from rlhf_sweeps.config.reward_models import RewardModelConfig
from rlhf_sweeps.record import Run, Sweep, as_mapping
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.results import group_by_reward_model, rank
from rlhf_sweeps.sweep.search.search_space import SearchSpace
from rlhf_sweeps.sweep.study.trials import SweepTrial
from rlhf_sweeps.verdicts.matrix import ComparedSetting

Contenders = dict[str, dict[str, Any]]


def find_contenders(space: SearchSpace, composer: Composer) -> Contenders:
    """Name -> plain config of each reward model of a sweep; empty if there are fewer than two.

    The names of reward models with the same name are extended by the values that differ: length[weight=0.1].

    Raises:
        HydraException, OmegaConfBaseException, ConfigError: as `Composer.config`.
    """
    swept = [parameter for parameter in space.parameters if parameter.name.startswith(("reward_model", "experiment"))]
    if not swept or not all(isinstance(parameter.distribution, CategoricalDistribution) for parameter in swept):
        return {}
    points = space.grid() if space.is_grid else space.probes()
    distinct: list[RewardModelConfig] = []
    # Only these keys change the reward model, so every combination of them is composed once.
    for point in {repr([point.get(p.name) for p in swept]): point for point in points}.values():
        config = replace(composer.config(space.overrides(point)).reward_model, normalize=None)
        if config not in distinct:
            distinct.append(config)
    return {_make_label(config, distinct): asdict(config) for config in distinct} if len(distinct) > 1 else {}


def introduce(task: DictConfig, others: Contenders) -> DictConfig:
    """Add the other reward models to a run's config as judges, on a common scale, unless the config says otherwise."""
    own = OmegaConf.to_container(task.reward_model, resolve=True)
    assert isinstance(own, dict)
    normalize = own["normalize"] is not False
    own_label = _find_label({**own, "normalize": None}, others)
    if own_label is None:
        return task
    task = task.copy()
    with open_dict(task):
        task.reward_model = {**read_with_references(task.reward_model), "name": own_label, "normalize": normalize}
        if task.eval.judge_each_other:
            given = [read_with_references(judge) for judge in task.eval.judges]
            new = [{**restore_references(config), "name": label} for label, config in others.items()]
            task.eval.judges = [*given, *(judge for judge in new if judge not in given)]
    return task


def _find_label(own: Mapping[Any, Any], others: Contenders) -> str | None:
    """The label of a reward model, also if its name contains the trial's number and so differs in every trial."""
    exact = [label for label, config in others.items() if config == own]
    alike = [label for label, config in others.items() if {**config, "name": own["name"]} == own]
    return next(iter(exact or (alike if len(alike) == 1 else [])), None)


def find_best_settings(
    trials: Sequence[SweepTrial], sweep: Sweep, seeds: Sequence[int], directions: Sequence[str]
) -> list[ComparedSetting]:
    """The best setting of each reward model with its runs, in the order of the trials.

    Args:
        seeds: of every trial; a trial has a run for each of several seeds.
        directions: "maximize" or "minimize" for each objective.
    """
    groups = group_by_reward_model(trials).items()
    best = {name: ranked[0] for name, group in groups if (ranked := rank(group, directions))}
    return [
        ComparedSetting(name, won.number, won.settings, _list_runs(won, sweep, seeds)) for name, won in best.items()
    ]


def read_reward_model(run: Run) -> str | None:
    """The name of a run's reward model; None if its record does not contain it."""
    reward_model = as_mapping(as_mapping((run.start() or {}).get("config")).get("reward_model"))
    name = reward_model.get("name")
    return name if isinstance(name, str) else None


def _list_runs(trial: SweepTrial, sweep: Sweep, seeds: Sequence[int]) -> list[Run]:
    return [sweep.run(trial.number, seed) for seed in seeds] if len(seeds) > 1 else [sweep.run(trial.number, None)]


def _make_label(config: RewardModelConfig, all_configs: Sequence[RewardModelConfig]) -> str:
    """The label in the comparison; slashes of a path become colons, since metrics contain the label."""
    namesakes = [redact(asdict(other)) for other in all_configs if other.name == config.name]
    own = redact(asdict(config))
    differing = [key for key in own if any(key in other and other[key] != own[key] for other in namesakes)]
    if not differing:
        return config.name
    values = ",".join(f"{key}={own[key]}" for key in differing).replace("${", "{")  # the name would resolve it
    return f"{config.name}[{values}]".replace("/", ":")
