"""hydra.job.env_set: environment variables of a job; a sweep and its trials are one job."""

import contextlib
import re
from collections.abc import Iterator

from hydra.core.utils import env_override
from omegaconf import DictConfig, OmegaConf

from rlhf_sweeps.config.fields import ConfigError, format_value

_OF_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:[^{}]*\}")


@contextlib.contextmanager
def set_job_environment(composed: DictConfig, is_sweep: bool) -> Iterator[None]:
    """Set these variables in this process, and so in the processes that it starts, for a while, as Hydra does in a job.

    A sweep is one job: its trials share the variables. No message shows a value, since it may be a secret.

    Args:
        composed: the config with Hydra's own part.

    Raises:
        ConfigError: if one cannot be a variable, or would differ between the trials of a sweep.
        OmegaConfBaseException: if one refers to something that does not exist.
    """
    raw = OmegaConf.to_container(composed.hydra.job.env_set, resolve=False)
    assert isinstance(raw, dict)
    for name, value in raw.items():
        key = f"hydra.job.env_set.{format_value(name)}"
        if not str(name) or set(str(name)) & {"=", "\0"} or "\0" in str(value):
            raise ConfigError(f"{key}: must be the name of a variable and a text")
        if is_sweep and "${" in _OF_ENVIRONMENT.sub("", str(value)):
            raise ConfigError(f"{key}: trials of a sweep share it; must be a text, or refer only to ${{oc.env:NAME}}")
    with env_override(composed.hydra.job.env_set):
        yield
