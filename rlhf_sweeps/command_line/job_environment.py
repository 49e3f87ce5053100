"""hydra.job.env_set: variables of the environment that a job is to have, a sweep and its trials among them."""

import contextlib
import re
from collections.abc import Iterator

from hydra.core.utils import env_override
from omegaconf import DictConfig, OmegaConf

from rlhf_sweeps.config.fields import ConfigError, in_line

_OF_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:[^{}]*\}")


@contextlib.contextmanager
def job_environment(composed: DictConfig, is_sweep: bool) -> Iterator[None]:
    """Have these variables in this process for a while, and so in those that it starts, as Hydra has them in a job.

    A sweep is one job: its trials share them. Values stand in no message: they may be secrets.

    Args:
        composed: with Hydra's own part.

    Raises:
        ConfigError: if one cannot be a variable, or is to differ between the trials of a sweep.
        OmegaConfBaseException: if one refers to what there is not.
    """
    raw = OmegaConf.to_container(composed.hydra.job.env_set, resolve=False)
    assert isinstance(raw, dict)
    for name, value in raw.items():
        key = f"hydra.job.env_set.{in_line(name)}"
        if not str(name) or set(str(name)) & {"=", "\0"} or "\0" in str(value):
            raise ConfigError(f"{key}: must be the name of a variable and a text")
        if is_sweep and "${" in _OF_ENVIRONMENT.sub("", str(value)):
            raise ConfigError(f"{key}: trials of a sweep share it; must be a text, or refer to ${{oc.env:NAME}} alone")
    with env_override(composed.hydra.job.env_set):
        yield
