"""Resolve interpolations that only Hydra can answer: ${now:%H-%M}, ${hydra:job.num}, names of choices.

Hydra answers them while a job of its own runs. A config that is checked earlier, or that a trial reads from a file,
needs the answers before that. Such an interpolation is called a question here.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from omegaconf import Container, DictConfig, ListConfig, OmegaConf, open_dict, read_write

from rlhf_sweeps.config.references import keep_references

# The resolvers that exist only in a process in which Hydra's command line runs.
_QUESTION = re.compile(r"\$\{\s*(now|hydra|python_version)\s*:")
_ASKS_FOR_JOB = re.compile(r"\$\{\s*hydra\s*:\s*job\s*(\.\s*(num|id)\b|\})")
# Stand for ${ and } of a reference to an environment variable in an answer, which stays a reference.
_REFERENCE_MARKS = ("\1", "\2")
_INTERPOLATION = re.compile(r"(\\*)\$\{")


@contextlib.contextmanager
def answer_from(composed: DictConfig, now: Callable[[str], str] | None = None) -> Iterator[None]:
    """Let Hydra answer from this config, which includes the part `hydra`, as if its job ran.

    Args:
        now: returns the time in a format of strftime; None: the clock's time.
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
    """A copy of the config with the values that Hydra fills in when the job runs.

    Args:
        folder: the job's folder.
        number: the job's number in a sweep; None for a run on its own.
    """
    job = composed.copy()
    with read_write(job.hydra), open_dict(job.hydra):
        job.hydra.runtime.output_dir = str(folder.absolute())
        if number is not None:
            job.hydra.job.num, job.hydra.job.id = number, f"{job.hydra.job.name}_{number}"
    return job


def has_questions(task: DictConfig) -> bool:
    """Whether any value is such a question."""
    return any(True for _ in _find_all_questions(task))


def asks_for_the_job(task: DictConfig) -> bool:
    """Whether any value asks for the number of a sweep's job, which a run on its own does not have."""
    return any(_ASKS_FOR_JOB.search(node._get_node(key)._value()) for node, key in _find_all_questions(task))


def answer_questions(task: DictConfig) -> None:
    """Replace the questions by Hydra's answers; all other values stay as they are written.

    Raises:
        OmegaConfBaseException: if Hydra has no answer.
    """
    with keep_references(lambda reference: f"{_REFERENCE_MARKS[0]}{reference[2:-1]}{_REFERENCE_MARKS[1]}"):
        for node, key in list(_find_all_questions(task)):
            node[key] = to_literal(node[key])


def _find_all_questions(task: DictConfig) -> Iterator[tuple[Any, Any]]:
    """Yield container and key of each question, a whole value or within a text; Hydra's own part is left out."""
    return _find_questions(task, [key for key in task if key != "hydra"])


def _find_questions(node: DictConfig | ListConfig, keys: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for key in keys:
        child: Any = node._get_node(key)
        value = child._value()
        if isinstance(value, str) and _QUESTION.search(value):
            yield node, key
        elif isinstance(child, DictConfig | ListConfig) and not isinstance(value, str) and value is not None:
            yield from _find_questions(child, range(len(child)) if isinstance(child, ListConfig) else list(child))


def to_literal(value: Any) -> Any:
    """An answer, escaped so that it is not read as an interpolation again."""
    if isinstance(value, Container):
        return to_literal(OmegaConf.to_container(value, resolve=True))
    if isinstance(value, dict):
        return {key: to_literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_literal(item) for item in value]
    if not isinstance(value, str):
        return value
    return _INTERPOLATION.sub(r"\1\1\\${", value).replace(_REFERENCE_MARKS[0], "${").replace(_REFERENCE_MARKS[1], "}")
