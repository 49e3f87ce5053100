"""Checks of callables and rules before they are loaded. Loads no torch, unless a callable's module does."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.references import redact
from rlhf_sweeps.config.reward_models import CallableConfig, RewardModelConfig, VaderConfig
from rlhf_sweeps.wording import describe_error, suggest


def check_rule(config: RewardModelConfig, key: str) -> None:
    """Check that a callable can be imported and called, or that VADER is installed; other kinds need no check.

    Args:
        key: the config's key, for error messages.

    Raises:
        ConfigError: if the callable cannot be used, or VADER is not installed.
    """
    if isinstance(config, CallableConfig):
        find_callable(config, key)
    if isinstance(config, VaderConfig) and importlib.util.find_spec("vaderSentiment") is None:
        install = "python -m pip install vaderSentiment"
        raise ConfigError(f"{key}.kind=vader: needs vaderSentiment, the extra `vader` ({install})")


def find_callable(config: CallableConfig, key: str) -> Callable[..., Any]:
    """The function or class that a config names; the caller makes an object of a class with the arguments.

    Raises:
        ConfigError: if there is none, or its signature does not accept the arguments.
    """
    given = f"{key}.function={config.function}"
    module_name, _, name = config.function.rpartition(".")
    module = _import(module_name, given)
    try:
        function: Callable[..., Any] = getattr(module, name)
    except AttributeError as error:
        raise ConfigError(f"{given}: {module_name} has no {name}{suggest(name, vars(module))}") from error
    if isinstance(function, type):
        if not any("__call__" in vars(base) for base in function.__mro__):
            raise ConfigError(f"{given}: must be a function or a class with __call__, is a class without")
        _check_signature(
            function, (), config.arguments, f"{key}.arguments={redact(config.arguments)}: {config.function}"
        )
        _check_signature(function.__call__, ("self", [], []), {}, f"{given}: its __call__")
    elif callable(function):
        _check_signature(function, ([], []), config.arguments, given)
    else:
        raise ConfigError(f"{given}: must be a function or a class, is a {type(function).__name__}")
    if inspect.iscoroutinefunction(function.__call__ if isinstance(function, type) else function):
        raise ConfigError(f"{given}: must be a plain function or class, is async")
    return function


def _import(name: str, given: str) -> ModuleType:
    # `python -m` puts the current folder on the path; a console script does not. Installed packages come first.
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            raise ConfigError(f"{given}: there is no module {missing}, neither installed nor in {here}") from error
        raise ConfigError(f"{given}: {name} cannot be imported ({describe_error(error)})") from error


def _check_signature(
    function: Callable[..., Any], positional: tuple[Any, ...], arguments: dict[str, Any], given: str
) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some functions written in C have none
    try:
        signature.bind(*positional, **arguments)
    except TypeError as error:
        called = ", ".join([*("prompts", "responses")[: len(positional)], *(f"{name}=..." for name in arguments)])
        raise ConfigError(f"{given}: cannot be called with ({called}): {error}") from error
