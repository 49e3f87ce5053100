"""What Hydra and OmegaConf refuse is said in a line of ours; their own errors come from composing here."""

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.command_line.explanation import explain, is_refusal
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reading import from_hydra


@pytest.fixture
def hydra_of_ours() -> Iterator[None]:
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        yield


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("ppo=null", "ppo=null: must name a choice of the group ppo (see --info defaults-tree)"),
        ("=1", "=1: must be KEY=VALUE, and has no key"),
        ("~ppo.lr", "~ppo.lr: cannot be removed; it must have a value"),
        ("ppo.kl_coef=", "ppo.kl_coef=: Value '' of type 'str' could not be converted to Float"),
        (
            "name=Größe",
            "name=Größe: must be KEY=VALUE in Hydra's syntax; a text with special characters needs quotes: "
            "\"name='Größe'\"",
        ),
        ("ppo.lr=[1", "ppo.lr=[1: must be KEY=VALUE in Hydra's syntax (no viable alternative at input '[1')"),
        ("ppo.lr", "ppo.lr: must be KEY=VALUE"),
        ("search=[lr_kl_clip,gone]", "search/gone: there is no such config"),
        ("ppo=gone", "ppo/gone: there is no such choice (allowed: default, n_details, smollm2_human_like, trl)"),
        (
            "model=gpt2",
            "model/gpt2: there is no such choice (allowed: local, qwen2_5_0_5b, smollm2_135m, smollm2_135m_pypi, "
            "smollm2_360m, tiny); a path or an id on the hub: model=local model.path=gpt2",
        ),
        (
            "model=facebook/opt-125m",
            "model/facebook/opt-125m: there is no such choice (allowed: local, qwen2_5_0_5b, smollm2_135m, "
            "smollm2_135m_pypi, smollm2_360m, tiny); a path or an id on the hub: model=local "
            "model.path=facebook/opt-125m",
        ),
        ("ppo.lr=1,2", "ppo.lr=1,2: several values are swept only with -m; a list is written KEY=[1,2]"),
        (
            "ppo.lr=choice(1,2)",
            "ppo.lr=choice(1,2): several values are swept only with -m; a list is written KEY=[1,2]",
        ),
        (
            "hydra.job.env_set.A=1",
            "hydra.job.env_set.A: there is no such key; to add a new one, write +hydra.job.env_set.A=...",
        ),
    ],
)
@pytest.mark.usefixtures("hydra_of_ours")
def test_a_refused_word_is_named_with_what_it_must_be(word: str, line: str) -> None:
    with pytest.raises(Exception) as refused:  # noqa: PT011 (which one is Hydra's)
        compose("config", [word], return_hydra_config=True)
    assert is_refusal(refused.value)
    assert explain(refused.value, ["tracking=disabled", word]) == line


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lr=1e-5", "ppo.lr"),
        ("kl_budget=3", "objective.kl_budget"),
        ("workers=4", "hydra.sweeper.workers"),
        ("path=a", "model.path or reward_model.path or dataset.path"),
    ],
)
@pytest.mark.usefixtures("hydra_of_ours")
def test_a_key_without_its_group_is_understood(word: str, meant: str) -> None:
    with pytest.raises(Exception, match=word.partition("=")[0]) as refused:
        compose("config", [word], return_hydra_config=True)
    assert f"there is no such key; did you mean {meant}? (allowed here: name, " in explain(refused.value, [word])


@pytest.mark.usefixtures("hydra_of_ours")
def test_a_key_without_its_group_is_understood_beside_a_missing_variable() -> None:
    with pytest.raises(Exception, match="lr") as refused:
        compose("config", ["name=${oc.env:NOPE}", "lr=1e-5"], return_hydra_config=True)
    assert "lr: there is no such key; did you mean ppo.lr?" in explain(refused.value, [])


def test_quotes_that_are_advised_help() -> None:
    assert OverridesParser.create().parse_override("name='Größe'").value() is not None


@pytest.mark.usefixtures("hydra_of_ours")
def test_a_group_that_is_taken_away_is_one_line_and_not_one_for_each_key() -> None:
    with pytest.raises(ConfigError) as refused:
        from_hydra(compose("config", ["~ppo"]))
    (line,) = str(refused.value).splitlines()
    assert line.startswith("ppo: ")
    assert line.endswith(
        " of its keys have no value (ppo.accumulation_steps, ...); must be a choice: "
        "ppo=default, ppo=n_details, ppo=smollm2_human_like, ppo=trl"
    )


def test_other_errors_are_no_refusals() -> None:
    assert not is_refusal(ValueError("shapes cannot be multiplied"))
    assert not is_refusal(ConfigError("ppo.lr=0: must be > 0"))
