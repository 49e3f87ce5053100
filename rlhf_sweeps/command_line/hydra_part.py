"""What a task's keys may ask of Hydra: ${now:%H-%M}, ${hydra:job.num}, and the names of choices on its search path.

Hydra answers while a job of its own runs. A config that is checked before that, and one that a trial reads from a file,
need the answers earlier.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from omegaconf import Container, DictConfig, ListConfig, OmegaConf, open_dict, read_write

from rlhf_sweeps.config.references import keeping

# The resolvers that only a process has in which Hydra's command line runs.
_QUESTION = re.compile(r"\$\{\s*(now|hydra|python_version)\s*:")
_OF_JOB = re.compile(r"\$\{\s*hydra\s*:\s*job\s*(\.\s*(num|id)\b|\})")
# What stands for ${ and } of a reference to an environment variable within an answer, which stays one.
_KEPT = ("\1", "\2")
_INTERPOLATION = re.compile(r"(\\*)\$\{")


@contextlib.contextmanager
def answering(composed: DictConfig, now: Callable[[str], str] | None = None) -> Iterator[None]:
    """Have Hydra answer from this config, which has a part `hydra`, as if its job ran.

    Args:
        now: the time in a format of strftime; None: as the clock has it.
    """
    instance = HydraConfig.instance()
    before, instance.cfg = instance.cfg, composed  # type: ignore[assignment]
    if now is not None:
        OmegaConf.register_new_resolver("now", now, replace=True)
    try:
        yield
    finally:
        instance.cfg = before
        if now is not None:
            setup_globals()


def as_job(composed: DictConfig, folder: Path, number: int | None = None) -> DictConfig:
    """A copy of the config that says what Hydra knows when the job runs.

    Args:
        folder: of the job.
        number: of a sweep's job; None for one on its own.
    """
    job = composed.copy()
    with read_write(job.hydra), open_dict(job.hydra):
        job.hydra.runtime.output_dir = str(folder.absolute())
        if number is not None:
            job.hydra.job.num, job.hydra.job.id = number, f"{job.hydra.job.name}_{number}"
    return job


def has_questions(task: DictConfig) -> bool:
    """Whether anything asks Hydra."""
    return any(True for _ in _all_questions(task))


def asks_for_the_job(task: DictConfig) -> bool:
    """Whether anything asks which of a sweep's jobs this is: a run on its own has no number."""
    return any(_OF_JOB.search(node._get_node(key)._value()) for node, key in _all_questions(task))


def answer_questions(task: DictConfig) -> None:
    """Put Hydra's answers where something asks it; all else stays as it is written.

    Raises:
        OmegaConfBaseException: if Hydra has no answer.
    """
    with keeping(lambda reference: f"{_KEPT[0]}{reference[2:-1]}{_KEPT[1]}"):
        for node, key in list(_all_questions(task)):
            node[key] = literal(node[key])


def _all_questions(task: DictConfig) -> Iterator[tuple[Any, Any]]:
    """Container and key of each value that asks Hydra, alone or within a text; Hydra's own part, at the root, apart."""
    return _questions(task, [key for key in task if key != "hydra"])


def _questions(node: DictConfig | ListConfig, keys: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for key in keys:
        child: Any = node._get_node(key)
        value = child._value()
        if isinstance(value, str) and _QUESTION.search(value):
            yield node, key
        elif isinstance(child, DictConfig | ListConfig) and not isinstance(value, str) and value is not None:
            yield from _questions(child, range(len(child)) if isinstance(child, ListConfig) else list(child))


def literal(value: Any) -> Any:
    """An answer as it is to be written, so that it is not taken for a question again."""
    if isinstance(value, Container):
        return literal(OmegaConf.to_container(value, resolve=True))
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    if not isinstance(value, str):
        return value
    return _INTERPOLATION.sub(r"\1\1\\${", value).replace(_KEPT[0], "${").replace(_KEPT[1], "}")
