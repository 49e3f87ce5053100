"""What only a sweep uses is refused in a run on its own, with the command that uses it."""

import shlex

import pytest
from omegaconf import OmegaConf

from rlhf_sweeps.command_line.sweep_words import refuse_sweep_words
from rlhf_sweeps.config.fields import ConfigError


@pytest.mark.parametrize(
    ("task", "own", "named"),
    [
        (["search=lr_kl_clip", "name=a b"], [], "search=lr_kl_clip"),
        ([], ["hydra.sweeper.n_trials=0", "hydra.run.dir=x"], "hydra.sweeper.n_trials=0"),
        (["+search=x"], ["+hydra.sweeper.sampler_args={a:1}", "hydra.sweep.dir=y"],
         "+search=x +hydra.sweeper.sampler_args={a:1} hydra.sweep.dir=y"),
    ],
)  # fmt: skip
def test_a_single_run_refuses_what_only_a_sweep_uses_and_names_the_command(
    task: list[str], own: list[str], named: str
) -> None:
    composed = OmegaConf.create({"hydra": {"overrides": {"hydra": own, "task": task}}})
    with pytest.raises(ConfigError) as refused:
        refuse_sweep_words(composed, [*task, *own])
    start, _, command = str(refused.value).partition(": used only in a sweep, and only -m starts one: ")
    assert start == named
    assert shlex.split(command) == ["python", "-m", "rlhf_sweeps", "-m", *task, *own]


@pytest.mark.parametrize("word", ["-r", "--run", "--ru", "hydra.mode=RUN", "+hydra.mode=RUN"])
def test_the_command_with_m_does_not_ask_for_a_single_run_too(word: str) -> None:
    composed = OmegaConf.create({"hydra": {"overrides": {"hydra": [], "task": ["search=lr_kl_clip"]}}})
    with pytest.raises(ConfigError, match=r"python -m rlhf_sweeps -m search=lr_kl_clip --resolve$"):
        refuse_sweep_words(composed, [word, "search=lr_kl_clip", "--resolve"])


def test_a_single_run_takes_all_other_words() -> None:
    given = {
        "hydra": ["hydra.run.dir=x"],
        "task": ["search=null", "search=Null", "search='null'", "~search", "ppo.lr=1"],
    }
    refuse_sweep_words(OmegaConf.create({"hydra": {"overrides": given}}), [])
