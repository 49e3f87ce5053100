"""Choices given by name within another config: judges, members of an ensemble, sources of a mixture."""

import pytest
from conftest import Compose

from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.reward_model_config import ClassifierConfig, EncoderConfig, EnsembleConfig, LengthConfig, VaderConfig


def test_judges_by_name_and_with_keys_changed(compose_config: Compose) -> None:
    judges = compose_config("eval.judges=[vader,{reward_model: length, weight: 2, name: longer}]").eval.judges
    assert [type(judge) for judge in judges] == [VaderConfig, LengthConfig]
    assert (judges[1].name, judges[1].weight, judges[1].unit) == ("longer", 2.0, "words")


def test_members_of_an_ensemble_may_be_ensembles(compose_config: Compose) -> None:
    inner = "{reward_model: ensemble, name: inner, members: [tiny,length], aggregation: min}"
    config = compose_config("reward_model=ensemble", f"reward_model.members=[vader,{inner}]")
    assert isinstance(config.reward_model, EnsembleConfig)
    vader, ensemble = config.reward_model.members
    assert isinstance(ensemble, EnsembleConfig)
    assert (vader.name, ensemble.aggregation) == ("vader", "min")
    assert [member.name for member in ensemble.members] == ["tiny", "length"]


def test_a_local_reward_model_is_called_as_its_folder(compose_config: Compose) -> None:
    config = compose_config(
        "reward_model=local", "reward_model.path=a/b", "eval.judges=[{reward_model: callable, function: my.module.f}]"
    )
    assert isinstance(config.reward_model, ClassifierConfig)
    assert (config.reward_model.name, config.eval.judges[0].name) == ("b", "f")


def test_sources_and_pairs_are_data_sets(compose_config: Compose) -> None:
    config = compose_config(
        "dataset=mixture",
        "dataset.sources=[human_like_mini,{dataset: local, path: x.csv, weight: 2}]",
        "reward_model=minilm",
        "reward_model.pairs={dataset: local, path: y.csv}",
    )
    assert [(source.path, source.weight) for source in config.dataset.sources] == [
        ("embedded:human_like_mini/train.jsonl", 1.0),
        ("x.csv", 2.0),
    ]
    assert isinstance(config.reward_model, EncoderConfig)
    assert config.reward_model.pairs.path == "y.csv"


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["eval.judges=[vadder]"], r"eval.judges\[0\]=vadder: reward_model has no such choice \(allowed: .*, vader\)"),
        (
            ["eval.judges=[{reward_model: length, weigth: 1}]"],
            r"eval.judges\[0\].weigth: reward_model=length has no such key \(allowed here: kind, name, unit, .*\)",
        ),
        (["eval.judges=[{reward_model: length, weight: a}]"], r"eval.judges\[0\].weight: Value 'a' .* to Float"),
        (
            ["eval.judges=[{reward_model: length, weight: nan}]"],
            r"eval.judges\[0\].weight=nan: must be a finite number",
        ),
        (["eval.judges=[{reward_model: length, unit: pages}]"], r"eval.judges\[0\].unit=pages: must be one of words"),
        (["eval.judges=[local]"], r"eval.judges\[0\].path: no value given"),
        (
            ["eval.judges=[{name: x}]"],
            r"^eval.judges\[0\].reward_model: no value given; .* \(allowed: .*, local, .*\)$",
        ),
        (
            ["dataset=mixture", "dataset.sources=[{path: x.csv}]"],
            r"^dataset.sources\[0\].dataset: no value given; it is required \(allowed: .*, local, mixture\)$",
        ),
        (["eval.judges=[vader,vader]"], r"eval.judges: must have distinct names, has vader twice"),
        (
            ["reward_model.template='{promt} {response}'"],
            r"^reward_model.template=.promt. .*: must hold {response}, may",
        ),
        (["reward_model.template='{response'"], r"^reward_model.template={response: must hold {response}"),
        (["reward_model.template='{prompt}'"], r"^reward_model.template={prompt}: must hold {response}"),
        (
            ["reward_model.template='{response} {prompt.upper}'"],
            r"^reward_model.template=.*: must hold {response}, may",
        ),
        (["reward_model.template='{response.x} {0}'"], r"^reward_model.template=.*: must hold {response}"),
        (
            ["eval.judges=[{reward_model: tiny, template: '{response:d}'}]"],
            r"^eval.judges\[0\].template={response:d}: ",
        ),
        (["reward_model.name=a/b"], r"reward_model.name=a/b: must have no slash"),
        (["reward_model=ensemble"], r"reward_model.members: no value given"),
        (["reward_model=ensemble", "reward_model.members=[tiny]"], r"reward_model.members: must hold at least two"),
        (["reward_model=regex", "reward_model.patterns=[{pattern: '(', weight: 1}]"], r"not a regular expression"),
        (["reward_model=callable", "reward_model.function=f"], r"reward_model.function=f: must be a dotted path"),
        (["dataset=mixture"], r"dataset.path=None: either a path or dataset.sources must be given"),
        (["reward_model=minilm", "reward_model.pairs=mixture"], r"reward_model.pairs.path=None: either a path or"),
        (["dataset.min_prompt_length=65"], r"must be at most dataset.max_prompt_length=64"),
    ],
)
def test_what_cannot_be_is_named_by_its_key(overrides: list[str], problem: str, compose_config: Compose) -> None:
    with pytest.raises(ConfigError, match=problem):
        compose_config(*overrides)
