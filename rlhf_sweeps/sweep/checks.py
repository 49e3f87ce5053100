"""Refuse impossible settings of hydra.sweeper before the first run."""

import pkgutil
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from omegaconf.nodes import AnyNode, ValueNode
from optuna.samplers import RandomSampler

from rlhf_sweeps.config.differences import describe_differences
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import SEEDS, TEST_SEEDS_AFTER, Config, as_dict
from rlhf_sweeps.record import is_search, mask_word, write_override
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.search.search_space import SearchSpace
from rlhf_sweeps.sweep.study.owners import to_study_directions
from rlhf_sweeps.wording import describe_error, suggest

# The largest number allowed in sampler_args: a sampler may draw so many numbers for each suggestion. Chosen.
MOST_GIVEN = 100_000
Setting = tuple[Mapping[str, Any], Config]  # the parameters of a setting, and the config that they give
MOST_TRIED = 50  # the largest number of made-up trials before the sampler's suggestion; chosen


def check_trial_function(path: str) -> None:
    """Check that hydra.sweeper.trial names a function.

    Raises:
        ConfigError: if it does not.
    """
    given, allowed = f"hydra.sweeper.trial={path}", "must be the dotted path of a function, package.module.function"
    try:
        target = pkgutil.resolve_name(path)
    except Exception as error:  # whatever the user's module raises
        raise ConfigError(f"{given}: {allowed} ({describe_error(error)})") from error
    if "." not in path or not callable(target) or isinstance(target, type):
        raise ConfigError(f"{given}: {allowed}")


def refuse_impossible_repetitions(space: SearchSpace, config: Config) -> None:
    """Refuse a sweep that would be a single run, and one whose seeds are chosen twice.

    Raises:
        ConfigError: naming the remedy.
    """
    count = config.sweep.seeds
    if space.seeds is not None and count > 1:
        raise ConfigError(
            f"seed={','.join(map(str, space.seeds))}: chooses seeds, and so does sweep.seeds={count}, which chooses "
            "its own, from seed in the config on; leave seed=... out, or add sweep.seeds=1"
        )
    if not space.parameters and space.seeds is None and count == 1 and not config.sweep.test_seeds:
        raise ConfigError(
            "-m: nothing is swept; give a key several values (ppo.kl_coef=0.01,0.02), or a search "
            "(search=lr_kl_clip), or several seeds (sweep.seeds=3); a single run needs no -m"
        )


def refuse_values_in_search(space: SearchSpace, compose: Callable[[Sequence[str]], Config]) -> None:
    """Refuse a search whose file sets keys of the runs, since a trial's setting is run again without the search.

    Args:
        compose: overrides -> config.

    Raises:
        ConfigError: naming the keys.
    """
    words = space.overrides(space.probes()[0])
    if searches := [word for word in words if is_search(word)]:
        bare = compose([word for word in words if not is_search(word)])
        if changed := describe_differences(as_dict(bare), as_dict(compose(words))):
            raise ConfigError(
                f"{' '.join(searches)}: a search sets only hydra.sweeper, and this one sets other keys ({changed}); "
                "move them to an experiment"
            )


def refuse_unknown_prune_on(prune_on: str | None, metrics: Sequence[str]) -> None:
    """Refuse a pruner's metric that is no objective. Raises ConfigError."""
    if prune_on not in (None, *metrics):
        near = suggest(prune_on or "", metrics)
        raise ConfigError(f"hydra.sweeper.prune_on={prune_on}: must be one of objective.metrics={metrics}{near}")


def refuse_unlike_objectives(space: SearchSpace, first: Setting, other: Setting) -> None:
    """Refuse two settings whose objectives differ: the settings of a sweep are ranked by the same objective.

    Raises:
        ConfigError: naming the key, its values, what gives them, and the remedy.
    """
    before, after = (vars(config.objective) for _, config in (first, other))
    for name in before:
        if before[name] == after[name]:
            continue
        key = f"objective.{name}"
        texts = [space.settings(params) for params, _ in (first, other)]
        own = [
            " ".join(f"{part}={text}" for part, text in texts[i].items() if texts[1 - i].get(part) != text)
            for i in (0, 1)
        ]
        source = "" if any(key in text for text in texts) else f" (by {own[0]} and {own[1]})"
        words = [_write_value(key, objective[name]) for objective in (before, after)]
        raise ConfigError(
            f"{words[0]},{words[1].removeprefix(f'{key}=')}{source}: must be the same for all settings of a sweep, "
            f"which are ranked by it; give one value for all, such as {words[0]}"
        )


def _write_value(key: str, value: Any) -> str:
    """The override that gives a key this value."""
    if isinstance(value, list):
        return write_override(key, value)
    return f"{key}={'null' if value is None else value}"


def check_seeds(plan: Plan) -> None:
    """Check that all seeds are below the largest allowed one, and that no test seed is also a tuning seed.

    Raises:
        ConfigError: if a seed is too large, or one is in both lists.
    """
    config, last = plan.config, max([*plan.seeds, *plan.test_seeds])
    if last >= SEEDS:
        raise ConfigError(
            f"seed={config.seed}: with sweep.seeds={config.sweep.seeds} and sweep.test_seeds={config.sweep.test_seeds} "
            f"the last one is {last}; must be < {SEEDS}"
        )
    if both := sorted({*plan.seeds} & {*plan.test_seeds}):
        raise ConfigError(
            f"sweep.test_seeds={config.sweep.test_seeds}: test seeds begin at {config.seed + TEST_SEEDS_AFTER}, "
            f"{TEST_SEEDS_AFTER} after seed={config.seed}, and settings are chosen by seed {both[0]}, too"
        )


def check_sampler(plan: Plan) -> None:
    """Let a sampler with the user's arguments suggest a setting after some made-up trials.

    Optuna checks most arguments only when it uses them.

    Raises:
        ConfigError: if the sampler fails.
    """
    settings = plan.settings
    if plan.points is not None or not settings.sampler_args:
        return
    if too_large := [
        name for name, value in settings.sampler_args.items() if type(value) in (int, float) and value > MOST_GIVEN
    ]:
        raise ConfigError(
            f"hydra.sweeper.sampler_args.{too_large[0]}={settings.sampler_args[too_large[0]]}: must be <= {MOST_GIVEN}"
        )
    num_startup = settings.sampler_args.get("n_startup_trials", settings.sampler_args.get("population_size", 10))
    num_tried = min(MOST_TRIED, num_startup + 2) if isinstance(num_startup, int) else MOST_TRIED
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _try(plan, num_tried)
    except ConfigError:
        raise
    except Exception as error:  # whatever a sampler raises
        arguments = ", ".join(f"{name}={value}" for name, value in settings.sampler_args.items())
        raise ConfigError(
            f"hydra.sweeper.sampler_args={{{arguments}}}: {settings.sampler} cannot work with them "
            f"({describe_error(error)})"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)


def _try(plan: Plan, num_tried: int) -> None:
    """Let a random sampler make `num_tried` trials, each with a value, and then the plan's sampler one."""
    study = optuna.create_study(sampler=RandomSampler(seed=0), directions=to_study_directions(plan.directions))
    for number in range(num_tried):
        trial = study.ask()
        plan.space.suggest(trial._suggest)
        study.tell(trial, [float(number)] * len(plan.directions))
    study.sampler = plan.sampler(num_tried)
    plan.space.suggest(study.ask()._suggest)


def make_canonical(master: DictConfig) -> Callable[[str, Any, str], Hashable]:
    """Make a function (key, value, text) -> an object that is equal for texts with the same meaning, by the key's type.

    For a number 1 and 1.0 are the same value, for a switch true and yes. Values of keys without a type differ if their
    texts differ.
    """

    def value_of(key: str, value: Any, text: str) -> Hashable:
        above, _, name = key.lstrip("+").rpartition(".")
        holder = OmegaConf.select(master, above) if above else master
        node = holder._get_node(name) if isinstance(holder, DictConfig) and name in holder else None
        if not isinstance(node, ValueNode) or isinstance(node, AnyNode) or value is None:
            return text
        try:
            converted: Hashable = node.validate_and_convert(value)
        except Exception:  # the run with this value reports it
            return text
        return converted

    return value_of


def refuse_secrets(space: SearchSpace) -> None:
    """Refuse secrets among the values that are swept, which a sweep records. Raises ConfigError."""
    for key, text in {entry for point in space.probes() for entry in space.settings(point).items()}:
        if mask_word(f"{key}={text}") != f"{key}={text}":
            raise ConfigError(
                f"{key}: a sweep records the values that it varies, so they cannot be secrets; keep them in "
                f"environment variables and sweep the references: {key}='${{oc.env:ONE}}','${{oc.env:OTHER}}'"
            )
