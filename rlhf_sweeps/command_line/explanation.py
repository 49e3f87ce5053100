"""Explain errors of Hydra and OmegaConf in one line: what was given, why it is refused, what is allowed."""

import dataclasses
import re
import traceback
from collections.abc import Sequence
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from rlhf_sweeps.config.fields import format_value
from rlhf_sweeps.record import mask_word
from rlhf_sweeps.wording import suggest

_MISSING = re.compile(r"Missing mandatory value: ([\w.]+)")
_SEVERAL = re.compile(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'\s+(?:1\. To|requires --multirun)")
_NOT_A_CHOICE = re.compile(r"Config group override must be a string or a list\. Got \w+")


def is_refusal(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf refuses something that the user has given."""
    # For ppo=null, and for a missing variable, Hydra raises a ValueError or a KeyError.
    is_own = isinstance(error, (HydraException, OmegaConfBaseException)) or _is_of_env_copy(error)
    return is_own or (isinstance(error, ValueError) and _NOT_A_CHOICE.match(str(error)) is not None)


def _is_of_env_copy(error: BaseException) -> bool:
    """Whether hydra.job.env_copy names a missing environment variable."""
    places = traceback.extract_tb(error.__traceback__)[-2:]
    return isinstance(error, KeyError) and any("job.env_set[key]" in (place.line or "") for place in places)


def explain(error: BaseException, arguments: Sequence[str]) -> str:
    """Explain such an error in one line.

    Args:
        arguments: of the command line; for errors in which Hydra does not name the argument.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if _is_of_env_copy(error):
        return f"hydra.job.env_copy: there is no variable {format_value(str(error.args[0]))} in the environment"
    if isinstance(error, OverrideParseException):
        given = mask_word(error.override or "")
        return _explain_syntax(given, lines[0] if given == error.override else None)
    if (several := _SEVERAL.search(str(error))) is not None:
        return f"{mask_word(several[1])}: several values are swept only with -m; a list is written KEY=[1,2]"
    if _NOT_A_CHOICE.match(str(error)):
        return _explain_no_choice(arguments) or " ".join(lines)
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and dataclasses.is_dataclass(cause.object_type):
        allowed = [entry.name for entry in dataclasses.fields(cause.object_type)]
        elsewhere = _find_elsewhere(cause)
        # Names that begin alike are compared by their ends; the suggestion is a whole key, to be pasted.
        group = str(cause.full_key).removesuffix(str(cause.key))
        near = suggest(f"{group}{cause.key}", [f"{group}{name}" for name in allowed], group)
        hint = f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else near
        return f"{cause.full_key}: there is no such key{hint} (allowed here: {', '.join(allowed)})"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        if error.options is None:  # not in a group, or a list
            return f"{error.missing_cfg_file}: there is no such config"
        group, name = _split_choice(error.missing_cfg_file, arguments)
        hint = suggest(name, error.options)
        own = f"; a path or an id on the hub: {group}=local {group}.path={name}" if "local" in error.options else ""
        return f"{error.missing_cfg_file}: there is no such choice{hint} (allowed: {', '.join(error.options)}){own}"
    if (match := _MISSING.search(str(error))) is not None:
        return f"{match[1]}: no value given; it is required ({match[1]}=...)"
    if isinstance(cause, OmegaConfBaseException) and cause is not error:
        given = mask_word(lines[0].removeprefix("Error merging override "))
        if given.startswith("~"):
            return f"{given}: cannot be removed; it must have a value"
        if "not in struct" in str(cause):
            hint = suggest(str(cause.key), cause.parent_node or ())
            return f"{cause.full_key}: there is no such key{hint or ';'} to add a new one, write +{cause.full_key}=..."
        return f"{given}: {str(cause).splitlines()[0]}"
    return " ".join(lines)


def _split_choice(missing: str, arguments: Sequence[str]) -> tuple[str, str]:
    """The group and the name of a choice, which may have slashes: an argument sets the group, if the user gave it."""
    groups = [word.lstrip("+").partition("=")[0].partition("@")[0] for word in arguments if "=" in word]
    group = next((group for group in groups if missing.startswith(f"{group}/")), missing.rpartition("/")[0])
    return group, missing.removeprefix(f"{group}/")


def _find_elsewhere(error: ConfigKeyError | ConfigAttributeError) -> list[str]:
    """The keys with the same last part in the groups of the config, and in hydra.sweeper: lr is ppo.lr."""
    node = error.parent_node
    if node is None or error.full_key != str(error.key):
        return []
    root = node._get_root()
    groups = [*(str(name) for name in root if name != "hydra"), "hydra.sweeper"]
    return [f"{group}.{error.key}" for group in groups if _has_key(root, group, error.key)]


def _has_key(root: Any, group: str, key: Any) -> bool:
    try:
        node = OmegaConf.select(root, group)
    except OmegaConfBaseException:  # a value that refers to something missing, which is another fault
        return False
    return isinstance(node, DictConfig) and not node._is_none() and key in node


def _explain_syntax(given: str, message: str | None) -> str:
    """Explain an override that breaks Hydra's grammar; if quotes would help, show it with quotes.

    Args:
        given: the override, with secrets masked.
        message: Hydra's message; None if that would show a secret.
    """
    key, equals, value = given.partition("=")
    if not equals or not key.strip():
        return f"{format_value(given)}: must be KEY=VALUE"
    if not value or value[0] in "'\"[{(" or "'" in value:
        reason = "" if message is None else f" ({format_value(message)})"
        return f"{format_value(given)}: must be KEY=VALUE in Hydra's syntax{reason}"
    return (
        f"{format_value(given)}: must be KEY=VALUE in Hydra's syntax; a text with special characters needs quotes: "
        f"\"{format_value(key)}='{format_value(value)}'\""
    )


def _explain_no_choice(arguments: Sequence[str]) -> str | None:
    """Explain a value of a config group that is no name of a choice; None if there is no such argument."""
    for word in arguments:
        key, equals, value = word.partition("=")
        if equals and not key.strip("+~"):
            return f"{format_value(mask_word(word))}: must be KEY=VALUE, and has no key"
        if equals and "." not in key and re.fullmatch(r"null|true|false|[-+.\d].*", value, re.IGNORECASE):
            group = key.lstrip("+")
            return (
                f"{format_value(mask_word(word))}: must name a choice of the group {group} (see --info defaults-tree)"
            )
    return None
