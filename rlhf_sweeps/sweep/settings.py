"""The schema of hydra.sweeper; conf/hydra/sweeper/rlhf_sweeps.yaml explains each key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from rlhf_sweeps.config.fields import ConfigError, choice, find_out_of_range, number, text
from rlhf_sweeps.config.lifted_secrets import refuse_masked
from rlhf_sweeps.config.schema import DIRECTIONS, Config
from rlhf_sweeps.record import find_passwords, remember
from rlhf_sweeps.sweep.study.trials import CAUSES

DEFAULT_TRIALS = 20  # of a search, if neither n_trials nor sweep.budget_hours is given; chosen
OWN_TRIAL = "rlhf_sweeps.trial.run"  # its metrics are known beforehand; another function may record any metrics
# Null in the files: Hydra's struct mode does not allow new keys of a mapping on the command line.
MAPPINGS_AND_LISTS = {"params": dict, "conditions": dict, "ties": list, "sampler_args": dict, "pruner_args": dict}
KINDS = {dict: "mapping, {key: value}", list: "list, [[key, other key]]"}


@dataclass
class SweeperConfig:
    """The keys of Hydra's Optuna plugin, and further ones."""

    _target_: str = MISSING
    direction: Any = MISSING
    storage: str | None = MISSING
    study_name: str | None = MISSING
    n_trials: int | None = number(at_least=1)
    n_jobs: int | None = number(at_least=1)
    max_failure_rate: float = number(at_least=0, at_most=1)
    params: dict[str, Any] = MISSING
    workers: int | None = number(at_least=0)
    workers_per_device: int = number(at_least=1)
    conditions: Any = MISSING
    ties: Any = MISSING
    sampler: str = text()
    sampler_args: Any = MISSING
    pruner: str = text()
    pruner_args: Any = MISSING
    prune_on: str | None = MISSING
    seed: int = number(at_least=0, below=2**31)
    start_method: str = choice("forkserver", "spawn")
    accept_changes: bool = MISSING
    retry_failed: Any = MISSING
    dry_run: bool = MISSING
    trial: str = text()

    @property
    def wanted_workers(self) -> int | None:
        """The number of trials at a time, from workers or n_jobs; None: a number that fits the machine."""
        return self.n_jobs if self.workers is None else self.workers


def read_settings(master: DictConfig) -> SweeperConfig:
    """The checked settings of a composed config.

    Raises:
        ConfigError: one line for each key that is wrong.
    """
    # Plain values: keys may contain dots, and interpolations may refer to keys outside of hydra.sweeper.
    plain = OmegaConf.to_container(master.hydra.sweeper, resolve=True)
    assert isinstance(plain, dict)
    if url := plain.get("storage"):
        refuse_masked(url, "hydra.sweeper.storage")
        remember(*find_passwords(str(url)))
        _refuse_unreadable(str(url))
    settings = SweeperConfig(**{str(key): value for key, value in plain.items()})
    for name, kind in MAPPINGS_AND_LISTS.items():
        given = getattr(settings, name)
        if given is not None and not isinstance(given, kind):
            raise ConfigError(f"hydra.sweeper.{name}={given}: must be null or a {KINDS[kind]}")
        setattr(settings, name, kind() if given is None else given)
    settings.retry_failed = read_retries(settings.retry_failed)
    if problems := [*find_out_of_range(settings, "hydra.sweeper."), *_find_contradictions(settings)]:
        raise ConfigError("\n".join(problems))
    return settings


def _refuse_unreadable(url: str) -> None:
    """Refuse a storage that is no URL, without showing it: it may contain a password at any place."""
    if url.startswith("journal:"):
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "hydra.sweeper.storage: is no URL, and not shown, since it may hold a password; must be null, journal:PATH "
            "or one like sqlite:////FOLDER/study.db or postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None


def choose_directions(settings: SweeperConfig, config: Config) -> list[str]:
    """The directions of the objectives: the sweeper's if given, else the config's.

    Raises:
        ConfigError: if their number is not that of the objectives.
    """
    given = settings.direction
    if given is None:
        return config.objective.directions
    wanted = [given] if isinstance(given, str) else list(given)
    if len(wanted) != len(config.objective.metrics) or set(wanted) - set(DIRECTIONS):
        raise ConfigError(
            f"hydra.sweeper.direction={given}: must be one of {', '.join(DIRECTIONS)}, or a list with one for each of "
            f"objective.metrics={config.objective.metrics}"
        )
    return wanted


def read_retries(given: Any) -> bool | list[str | int]:
    """Read which failed trials are opened again: all, none, or those with some causes or numbers.

    Raises:
        ConfigError: if `given` is no such choice.
    """
    if given is None or isinstance(given, bool):
        return bool(given)
    items: list[str | int] = given if isinstance(given, list) else [given]
    if not all(item in CAUSES or (type(item) is int and item >= 0) for item in items):
        raise ConfigError(
            f"hydra.sweeper.retry_failed={given}: must be true, false, or a list of numbers of trials and of causes "
            f"({', '.join(CAUSES)})"
        )
    return items


def _find_contradictions(settings: SweeperConfig) -> Iterator[str]:
    if None not in (settings.workers, settings.n_jobs) and settings.workers != settings.n_jobs:
        yield f"hydra.sweeper.workers={settings.workers}: the same as hydra.sweeper.n_jobs={settings.n_jobs}; give one"
    if not (settings.direction is None or isinstance(settings.direction, (str, list, ListConfig))):
        yield f"hydra.sweeper.direction={settings.direction}: must be one of {', '.join(DIRECTIONS)}, or a list of them"
