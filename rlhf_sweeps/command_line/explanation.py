"""What Hydra and OmegaConf refuse, in one line of ours: what was given, why it cannot be, what is allowed."""

import dataclasses
import difflib
import re
import traceback
from collections.abc import Sequence

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from rlhf_sweeps.config.fields import in_line
from rlhf_sweeps.record import masked_word

_MISSING = re.compile(r"Missing mandatory value: ([\w.]+)")
_NO_TEXT = re.compile(r"Config group override must be a string or a list\. Got \w+")


def is_refusal(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf says that something which was given cannot be."""
    # Hydra's answers to ppo=null, and to a variable that there is not, are no exceptions of its own.
    is_own = isinstance(error, (HydraException, OmegaConfBaseException)) or _is_of_env_copy(error)
    return is_own or (isinstance(error, ValueError) and _NO_TEXT.match(str(error)) is not None)


def _is_of_env_copy(error: BaseException) -> bool:
    """Whether Hydra was to copy a variable of the environment that there is not."""
    places = traceback.extract_tb(error.__traceback__)[-2:]
    return isinstance(error, KeyError) and any("job.env_set[key]" in (place.line or "") for place in places)


def explain(error: BaseException, arguments: Sequence[str]) -> str:
    """Such a refusal in one line.

    Args:
        arguments: of the command line, where Hydra does not say which of them it means.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if _is_of_env_copy(error):
        return f"hydra.job.env_copy: there is no variable {in_line(str(error.args[0]))} in the environment"
    if isinstance(error, OverrideParseException):
        given = masked_word(error.override or "")
        return _explain_syntax(given, lines[0] if given == error.override else None)
    if _NO_TEXT.match(str(error)):
        return _explain_no_choice(arguments) or " ".join(lines)
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and dataclasses.is_dataclass(cause.object_type):
        allowed = [entry.name for entry in dataclasses.fields(cause.object_type)]
        close = difflib.get_close_matches(str(cause.key), allowed, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{cause.full_key}: there is no such key{hint} (allowed here: {', '.join(allowed)})"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        if error.options is None:  # of no group, or of a list
            return f"{error.missing_cfg_file}: there is no such config"
        return f"{error.missing_cfg_file}: there is no such choice (allowed: {', '.join(error.options)})"
    if (found := _MISSING.search(str(error))) is not None:
        return f"{found[1]}: no value given; it is required ({found[1]}=...)"
    if isinstance(cause, OmegaConfBaseException) and cause is not error:
        given = masked_word(lines[0].removeprefix("Error merging override "))
        if given.startswith("~"):
            return f"{given}: cannot be taken away; must be given another value"
        if "not in struct" in str(cause):
            return f"{cause.full_key}: there is no such key; where it is to be a new one, write +{cause.full_key}=..."
        return f"{given}: {str(cause).splitlines()[0]}"
    return " ".join(lines)


def _explain_syntax(given: str, said: str | None) -> str:
    """An override that Hydra's grammar does not hold; where quotes would help, with them.

    Args:
        said: what Hydra says; None where that would show a secret.
    """
    key, equals, value = given.partition("=")
    if not equals or not key.strip():
        return f"{in_line(given)}: must be KEY=VALUE"
    if not value or value[0] in "'\"[{(" or "'" in value:
        reason = "" if said is None else f" ({in_line(said)})"
        return f"{in_line(given)}: must be KEY=VALUE in Hydra's syntax{reason}"
    return (
        f"{in_line(given)}: must be KEY=VALUE in Hydra's syntax; a text with other characters stands in quotes: "
        f"\"{in_line(key)}='{in_line(value)}'\""
    )


def _explain_no_choice(arguments: Sequence[str]) -> str | None:
    """A group of configs that is given something else than the name of a choice."""
    for word in arguments:
        key, equals, value = word.partition("=")
        if equals and not key.strip("+~"):
            return f"{in_line(masked_word(word))}: must be KEY=VALUE, and has no key"
        if equals and "." not in key and re.fullmatch(r"null|true|false|[-+.\d].*", value, re.IGNORECASE):
            group = key.lstrip("+")
            return f"{in_line(masked_word(word))}: must name a choice of the group {group} (see --info defaults-tree)"
    return None
