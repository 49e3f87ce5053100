"""Secrets that are written out in a config or on the command line.

They are masked in all messages from the start. Then each of them is lifted: moved into an environment variable of this
process and its children, with a reference in its place, so that the config can be written into a folder and read from
there. A value that was masked before cannot be used and is refused.
"""

import os
import re
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import find_passwords, find_variables, is_masked, is_secret, is_secret_variable, remember
from rlhf_sweeps.record.redaction import (
    LIFTED,
    MASK,
    OF_DEFAULT,
    find_defaults,
    find_literals,
    find_password_variables,
    locate_secret_values,
    locate_secrets,
)

_DEFAULT = re.compile(r"\$\{\s*oc\.env:[^,{}]+,(?!\s*null\s*\})")


def learn_words(words: Sequence[str]) -> None:
    """Let all later messages mask the secrets of a command line and of this process's environment variables."""
    remember(*(value for name, value in os.environ.items() if is_secret_variable(name)))
    parser = OverridesParser.create()
    for word in words:
        key, _, text = word.partition("=")
        path = re.split(r"[.@:\[\]]", key.lstrip("+~-"))
        try:
            override = parser.parse_override(word)
            content: Any = override.value()
            if override.is_sweep_override():
                content = list(override.sweep_iterator(Override._convert_value)) if override.is_choice_sweep() else text
        except (HydraException, RecursionError):
            content = text
        learn(content, is_of_secret=any(map(is_secret, path)))
        if content is text:  # Hydra cannot parse it, or it is a sweep over several values
            remember(*(text[start:end].strip(" '\"") for start, end in locate_secret_values(text)))


def learn(content: Any, is_of_secret: bool = False) -> None:
    """Let errors and the log mask all secrets in plain nested values: literals, passwords and values of variables.

    Args:
        is_of_secret: whether the values stand under a key with the name of a secret.
    """
    if isinstance(content, dict):
        for key, value in content.items():
            learn(value, is_of_secret or is_secret(str(key)))
    elif isinstance(content, list | tuple):
        for value in content:
            learn(value, is_of_secret)
    elif content is not None and not isinstance(content, bool):
        text = str(content)
        referred = find_variables(text)
        remember(*find_passwords(text), *(os.environ.get(name, "") for name in find_password_variables(text)))
        if is_of_secret or any(map(is_secret_variable, referred)):
            remember(*(os.environ.get(name, "") for name in referred), *find_defaults(text))
        if is_of_secret:
            remember(*find_literals(text))


def refuse_masked(content: Any, key: str = "") -> None:
    """Refuse a masked value, which a user has copied from a record or a printed command.

    Raises:
        ConfigError: naming the key.
    """
    if isinstance(content, dict):
        for name, value in content.items():
            refuse_masked(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            refuse_masked(value, f"{key}[{index}]")
    elif isinstance(content, str) and is_masked(content) and (content != MASK or _may_be_secret(key)):
        raise ConfigError(
            f"{key}={content}: its secret is masked, so it cannot be used; give the secret, or keep it in an "
            "environment variable and write ${oc.env:NAME} in its place"
        )


def _may_be_secret(key: str) -> bool:
    """Whether three asterisks under a key stand for a masked secret."""
    parts = re.split(r"[.\[\]]", key)
    return "arguments" in parts or any(map(is_secret, parts))


def lift(task: DictConfig, lifted: MutableMapping[str, str]) -> None:
    """Replace the secrets that are written out in a config by references to environment variables.

    Args:
        lifted: variable -> secret, for all configs of one sweep. New secrets are added to it, and set in the
            environment of this process.

    Raises:
        ConfigError: if one key has several secrets in a sweep, which the record could not tell apart.
    """
    with read_write(task), open_dict(task):
        for node, key, path in list(_list_leaves(task, ())):
            value = node._get_node(key)._value()
            if value is None or isinstance(value, bool) or OmegaConf.is_missing(node, key) or value == "":
                continue
            text = value if isinstance(value, str) else ""
            if any(map(is_secret, path)) or (
                _DEFAULT.search(text) and any(map(is_secret_variable, find_variables(text)))
            ):
                is_default = _DEFAULT.search(text) is not None
                if not is_default and not find_literals(str(value)):
                    continue
                refuse_masked(str(value), ".".join(path))
                reference = _lift_one(str(node[key]), path, lifted, OF_DEFAULT if is_default else "")
                node[key] = reference if isinstance(value, str) else f"${{oc.decode:{reference}}}"
            elif isinstance(value, str):
                for number, (start, end) in reversed([*enumerate(locate_secrets(value))]):
                    reference = _lift_one(value[start:end], (*path, f"password{number or ''}"), lifted)
                    node[key] = value = f"{value[:start]}{reference}{value[end:]}"


def _lift_one(secret: str, path: tuple[str, ...], lifted: MutableMapping[str, str], ending: str = "") -> str:
    remember(secret)
    name = LIFTED + re.sub(r"\W+", "_", "_".join(path)).upper() + ending
    if lifted.setdefault(name, secret) != secret:
        raise ConfigError(
            f"{'.'.join(path)}: has several secrets in this sweep, whose record could not distinguish them; keep them "
            "in environment variables and write ${oc.env:NAME} in their places"
        )
    os.environ[name] = secret
    return f"${{oc.env:{name}}}"


def _list_leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    keys: Any = range(len(node)) if isinstance(node, ListConfig) else list(node)
    for key in keys:
        child: Any = node._get_node(key)
        value = child._value()
        if isinstance(child, DictConfig | ListConfig) and not isinstance(value, str) and value is not None:
            yield from _list_leaves(child, (*path, str(key)))
        else:
            yield node, key, (*path, str(key))
