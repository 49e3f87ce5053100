"""Which settings a search tries: Optuna's samplers by name, made so that a resumed sweep goes on as if never killed.

A sampler is made anew for every suggestion. Its random numbers are then a function of the sweep's seed and the trial's
number, and whatever else it knows it reads from the study. So nothing is lost when the process that asked is killed.
"""

import importlib
import inspect
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from rlhf_sweeps.config.fields import ConfigError

T = TypeVar("T")
_OBJECT = re.compile(r"Callable\b|Base[A-Z]|np\.|dict\b|list\b|Sequence\b")  # annotations that no plain value fits
KEY = "hydra.sweeper.sampler"
SAMPLERS: Mapping[str, type[BaseSampler]] = {
    "tpe": TPESampler,
    "gp": GPSampler,
    "cmaes": CmaEsSampler,
    "nsgaii": NSGAIISampler,
    "nsgaiii": NSGAIIISampler,
    "qmc": QMCSampler,
    "random": RandomSampler,
}
# With a sampler a suggestion, Optuna's notes on parameters that it draws at random would come with every one of them.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # The keys interact, some are there only under conditions (group), and trials run side by side (constant_liar).
    "tpe": {"multivariate": True, "group": True, "constant_liar": True},
    "gp": {"warn_independent_sampling": False},
    "cmaes": {"warn_independent_sampling": False},
    # Optuna's generation of 50 would leave a whole search of PPO runs to chance.
    "nsgaii": {"population_size": 10},
    "nsgaiii": {"population_size": 10},
    "qmc": {"scramble": True, "warn_independent_sampling": False},
}


def make_sampler(name: str, arguments: Mapping[str, Any], seed: int, number: int, num_objectives: int) -> BaseSampler:
    """The sampler that suggests one trial; to be put into the study right before it is asked.

    Args:
        name: one of SAMPLERS or the dotted path of a sampler's class.
        arguments: the class's own, over DEFAULTS; all but its seed.
        seed: the sweep's, >= 0.
        number: of the trial that is to be suggested, >= 0.
        num_objectives: how many values the study's trials have.

    Raises:
        ConfigError: naming hydra.sweeper.sampler or hydra.sweeper.sampler_args.
    """
    if name == "grid":
        raise ConfigError(f"{KEY}=grid: a grid needs no sampler; give every swept key as a list, or search with tpe")
    cls = SAMPLERS.get(name) or load_class(name, BaseSampler, KEY, SAMPLERS)  # type: ignore[type-abstract]
    defaults = {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}
    for argument, value in arguments.items():
        default = defaults.get(argument, 0)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and not value >= 0 and not (isinstance(default, (int, float)) and default < 0):
            raise ConfigError(f"{KEY}_args.{argument}={value}: must be >= 0")
    if issubclass(cls, CmaEsSampler) and num_objectives > 1:
        raise ConfigError(f"{KEY}={name}: takes one objective, there are {num_objectives}; take nsgaii, tpe or gp")
    return build(cls, {**DEFAULTS.get(name, {}), **arguments}, _seeding(cls, seed, number), f"{KEY}_args")


def _seeding(cls: type[BaseSampler], seed: int, number: int) -> dict[str, Any]:
    """What makes the sampler of one trial its own, as arguments of its class."""
    if "seed" not in inspect.signature(cls).parameters:
        return {}
    of_trial = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if issubclass(cls, QMCSampler):
        # The sequence is one for all trials and named by its seed; what it leaves out must vary all the same.
        return {"seed": seed, "independent_sampler": RandomSampler(seed=of_trial)}
    return {"seed": of_trial}


def load_class(path: str, base: type[T], key: str, names: Iterable[str]) -> type[T]:
    """The class at a dotted path.

    Args:
        path: "package.module.Class".
        base: what the class must extend.
        key: the config key that holds the path.
        names: what else the key may be.

    Raises:
        ConfigError: if there is none.
    """
    allowed = f"must be one of {', '.join(names)} or the dotted path of a class that extends {base.__name__}"
    module, _, name = path.rpartition(".")
    if not module:
        raise ConfigError(f"{key}={path}: {allowed}")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}={path}: {allowed} ({first_line(error)})") from error
    if not (inspect.isclass(cls) and issubclass(cls, base)) or inspect.isabstract(cls):
        raise ConfigError(f"{key}={path}: {allowed}")
    return cls


def build(cls: type[T], arguments: Mapping[str, Any], own: Mapping[str, Any], key: str) -> T:
    """An object of a class whose arguments a user gives.

    Args:
        cls: any class with a signature.
        arguments: the user's, by name.
        own: those that are not the user's to give, though the class may take them.
        key: the config key that holds the arguments.

    Raises:
        ConfigError: for an argument that the class has not, or a value that it does not take.
    """
    parameters = inspect.signature(cls).parameters
    allowed = [name for name in parameters if name != "seed"]
    for name, value in arguments.items():
        given = f"{key}.{name}={value}"
        if name not in allowed:
            known = f"{cls.__name__} takes {', '.join(allowed)}" if allowed else f"{cls.__name__} takes none"
            raise ConfigError(f"{given}: there is no such argument ({known})")
        annotation = parameters[name].annotation
        if not fits(value, annotation):
            raise ConfigError(f"{given}: must be {getattr(annotation, '__name__', annotation)}")
    try:
        with warnings.catch_warnings():
            # Chosen knowingly, by DEFAULTS or by the user; every suggestion would repeat it.
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return cls(**{**own, **arguments})
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise ConfigError(f"{key}={{{given}}}: {first_line(error)}") from error


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of the annotated type, where that is made of int, float, bool, str and None (else True)."""
    kinds = {"int": int, "float": int | float, "bool": bool, "str": str, "None": type(None)}
    options = str(getattr(annotation, "__name__", annotation)).split(" | ")
    if not set(options) <= kinds.keys():
        # No file holds a function or an object.
        return isinstance(value, dict | list) or value is None or not any(_OBJECT.match(option) for option in options)
    # Python's True is an int, but nobody means it so.
    return any(isinstance(value, kinds[name]) and isinstance(value, bool) <= (name == "bool") for name in options)


def first_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
