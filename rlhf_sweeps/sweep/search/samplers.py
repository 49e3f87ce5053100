"""Optuna's samplers by name, made so that a resumed sweep continues as if it had not been killed.

A new sampler is made for every suggestion. Its random numbers depend only on the sweep's seed and the trial's number,
and it reads everything else from the study. So nothing is lost when the process that asked is killed.

DEFAULTS were chosen for searches of a few dozen trials. tests/benchmarks measures none of them.
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
from rlhf_sweeps.wording import suggest

T = TypeVar("T")
# Annotations of arguments that a config cannot hold.
_OBJECT_TYPE = re.compile(r"Callable\b|Base[A-Z]|np\.|dict\b|list\b|Sequence\b")
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
# Since each suggestion has a new sampler, Optuna would repeat its notes on randomly drawn parameters each time.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # The keys interact (multivariate), some exist only under conditions (group), trials run at once (constant_liar).
    "tpe": {"multivariate": True, "group": True, "constant_liar": True},
    "gp": {"warn_independent_sampling": False},
    "cmaes": {"warn_independent_sampling": False},
    # With Optuna's default of 50, the first generation would be a whole search of PPO runs at random.
    "nsgaii": {"population_size": 10},
    "nsgaiii": {"population_size": 10},
    "qmc": {"scramble": True, "warn_independent_sampling": False},
}


def make_sampler(name: str, arguments: Mapping[str, Any], seed: int, number: int, num_objectives: int) -> BaseSampler:
    """The sampler for the suggestion of one trial; the study gets it right before that.

    Args:
        name: one of SAMPLERS or the dotted path of a sampler's class.
        arguments: of the class, except its seed; they replace DEFAULTS.
        seed: the sweep's, >= 0.
        number: of the suggested trial, >= 0.
        num_objectives: the number of values of the study's trials.

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
    return build(cls, {**DEFAULTS.get(name, {}), **arguments}, _choose_seeds(cls, seed, number), f"{KEY}_args")


def _choose_seeds(cls: type[BaseSampler], seed: int, number: int) -> dict[str, Any]:
    """The arguments of a sampler's class that set the seed for one trial."""
    if "seed" not in inspect.signature(cls).parameters:
        return {}
    of_trial = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if issubclass(cls, QMCSampler):
        # All trials share one sequence, given by its seed; parameters that it does not cover must still vary.
        return {"seed": seed, "independent_sampler": RandomSampler(seed=of_trial)}
    return {"seed": of_trial}


def load_class(path: str, base: type[T], key: str, names: Iterable[str]) -> type[T]:
    """The class at a dotted path.

    Args:
        path: "package.module.Class".
        base: the class that it must extend.
        key: the config key that holds the path.
        names: the other allowed values of the key.

    Raises:
        ConfigError: if there is no such class.
    """
    names = list(names)
    allowed = f"must be one of {', '.join(names)} or the dotted path of a class that extends {base.__name__}"
    module, _, name = path.rpartition(".")
    if not module:
        raise ConfigError(f"{key}={path}: {allowed}{suggest(path, names)}")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}={path}: {allowed} ({take_first_line(error)})") from error
    if not (inspect.isclass(cls) and issubclass(cls, base)) or inspect.isabstract(cls):
        raise ConfigError(f"{key}={path}: {allowed}")
    return cls


def build(cls: type[T], arguments: Mapping[str, Any], own: Mapping[str, Any], key: str) -> T:
    """Make an object of a class with the user's arguments.

    Args:
        cls: any class with a signature.
        arguments: the user's, by name.
        own: arguments that the user cannot give.
        key: the config key that holds the arguments.

    Raises:
        ConfigError: for an argument that the class does not have, or a value that it refuses.
    """
    parameters = inspect.signature(cls).parameters
    allowed = [name for name in parameters if name != "seed"]
    for name, value in arguments.items():
        given = f"{key}.{name}={value}"
        if name not in allowed:
            signature_text = f"{cls.__name__} takes {', '.join(allowed)}" if allowed else f"{cls.__name__} takes none"
            raise ConfigError(f"{given}: there is no such argument{suggest(name, allowed)} ({signature_text})")
        annotation = parameters[name].annotation
        if not fits(value, annotation):
            raise ConfigError(f"{given}: must be {getattr(annotation, '__name__', annotation)}")
    try:
        with warnings.catch_warnings():
            # DEFAULTS or the user chose experimental features on purpose; every suggestion would warn again.
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return cls(**{**own, **arguments})
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise ConfigError(f"{key}={{{given}}}: {take_first_line(error)}") from error


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value has the annotated type, if that consists of int, float, bool, str and None (else True)."""
    kinds = {"int": int, "float": int | float, "bool": bool, "str": str, "None": type(None)}
    options = str(getattr(annotation, "__name__", annotation)).split(" | ")
    if not set(options) <= kinds.keys():
        # A config cannot hold a function or an object.
        return isinstance(value, dict | list) or value is None or not any(map(_OBJECT_TYPE.match, options))
    # Python's True is an int, but it is not meant as a number here.
    return any(isinstance(value, kinds[name]) and isinstance(value, bool) <= (name == "bool") for name in options)


def take_first_line(error: Exception) -> str:
    """The first line of an exception's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
