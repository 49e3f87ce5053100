"""Choices given by name within another config: judges, members of an ensemble, sources of a mixture."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Compose
from helpers.sweeping import sweep, trials
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from rlhf_sweeps.cli import conf_dir, register, select_task
from rlhf_sweeps.command_line.hydra_answers import answer_from
from rlhf_sweeps.config.choices import expand
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reading import _read_sources, from_hydra
from rlhf_sweeps.config.reward_models import ClassifierConfig, EncoderConfig, EnsembleConfig, LengthConfig, VaderConfig
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.reward_training import config as training_config


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


PAIRS = "pairs: {dataset: mixture, sources: [human_like_mini,{dataset: local, path: y.csv}]}"


@pytest.mark.parametrize(
    "overrides",
    [
        ["reward_model=minilm", f"reward_model.{PAIRS.replace(': ', '=', 1)}"],
        [f"eval.judges=[{{reward_model: minilm, {PAIRS}}}]"],
        ["reward_model=ensemble", f"reward_model.members=[tiny,{{reward_model: minilm, {PAIRS}}}]"],
    ],
    ids=["reward model", "judge", "member"],
)
def test_pairs_may_be_a_mixture_wherever_an_encoder_stands(overrides: list[str], compose_config: Compose) -> None:
    config = compose_config(*overrides)
    members = config.reward_model.members if isinstance(config.reward_model, EnsembleConfig) else []
    encoder = next(one for one in (config.reward_model, *config.eval.judges, *members) if one.name == "minilm")
    assert isinstance(encoder, EncoderConfig)
    sources = [(source.name, source.path) for source in encoder.pairs.sources]
    assert sources == [("human_like_mini", "embedded:human_like_mini/train.jsonl"), ("local", "y.csv")]


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^dataset.sources\[0\]=x: must be a mapping of keys to values$"):
        _read_sources(DatasetConfig(sources=["x"]), "dataset")


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ["eval.judges=[vadder]"],
            r"eval.judges\[0\]=vadder: reward_model has no such choice; did you mean vader\? \(allowed: .*, vader\)",
        ),
        (
            ["eval.judges=[{reward_model: length, weigth: 1}]"],
            r"eval.judges\[0\].weigth: reward_model=length has no such key; did you mean weight\? \(allowed here: kind",
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
        (
            ["dataset=mixture", "dataset.sources=[human_like_mini]", "dataset.confirm_path=x.jsonl"],
            r"dataset.confirm_path=x.jsonl: each source of a mixture names its own; here it must be null",
        ),
        (
            ["dataset=mixture", "dataset.sources=[human_like_mini]", "dataset.eval_split=test"],
            r"dataset.eval_split=test: each source of a mixture names its own; here it must be null",
        ),
        (["reward_model=minilm", "reward_model.pairs=mixture"], r"reward_model.pairs.path=None: either a path or"),
        (
            ["reward_model=minilm", "reward_model.pairs={dataset: mixture, sources: [human]}"],
            r"^reward_model.pairs.sources\[0\]=human: dataset has no such choice",
        ),
        (
            ["eval.judges=[{reward_model: minilm, pairs: {dataset: mixture, sources: human_like_mini}}]"],
            r"^eval.judges\[0\].pairs.sources=human_like_mini: must be a list$",
        ),
        (["reward_model=ensemble", "reward_model.members=tiny"], r"^reward_model.members=tiny: must be a list$"),
        (["dataset.min_prompt_length=65"], r"must be at most dataset.max_prompt_length=64"),
    ],
)
def test_what_cannot_be_is_named_by_its_key(overrides: list[str], problem: str, compose_config: Compose) -> None:
    with pytest.raises(ConfigError, match=problem):
        compose_config(*overrides)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of a user's own choices, some of which name others."""
    data = ROOT / "rlhf_sweeps" / "assets" / "human_like_mini" / "train.jsonl"
    for name, text in {
        "reward_model/mine": "defaults: [length, _self_]\nname: mine\nunit: characters\n",
        "reward_model/team": "defaults: [ensemble, _self_]\nname: team\nmembers: [mine,{reward_model: mine,name: b}]\n",
        "reward_model/judge": "defaults: [minilm, _self_]\nname: judge\npairs: texts\n",
        "dataset/texts": f"defaults: [local, _self_]\nname: texts\npath: {data}\n",
        "dataset/both": "defaults: [mixture, _self_]\nname: both\nsources: [texts, human_like_mini]\n",
        "experiment/mine_1": "# @package _global_\neval:\n  judges: [mine]\n",
        "experiment/mine_2": "# @package _global_\neval:\n  judges: [team]\n",
        "search/mine": "# @package _global_\nhydra: {sweeper: {params: {eval.judges: 'choice([mine],[team,mine])'}}}\n",
    }.items():
        file = tmp_path / "own" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path / "own"


def loaded(config_name: str, *overrides: str, folder: str | None = None) -> DictConfig:
    """What Hydra composes, with names as they are."""
    register()
    training_config.register()
    with initialize_config_dir(folder or conf_dir(), version_base="1.3"):
        master = GlobalHydra.instance().config_loader().load_configuration(config_name, list(overrides), RunMode.RUN)
        with answer_from(master):
            return expand(select_task(master))


NAMED = ["eval.judges=[mine,team,judge,{reward_model: mine, name: again}]", "dataset=both"]


@pytest.mark.parametrize("place", ["command line", "config"])
def test_names_are_found_on_the_search_path_within_each_other_too(place: str, own: Path, tmp_path: Path) -> None:
    if place == "command line":
        config = loaded("config", f"hydra.searchpath=[file://{own}]", *NAMED)
    else:
        other = Path(shutil.copytree(conf_dir(), tmp_path / "conf"))
        main = other / "config.yaml"
        text = main.read_text(encoding="utf-8").replace("hydra:\n", f"hydra:\n  searchpath: ['file://{own}']\n", 1)
        main.write_text(text, encoding="utf-8")
        config = loaded("config", *NAMED, folder=str(other))
    checked = from_hydra(config)
    mine, team, judge, again = checked.eval.judges
    assert isinstance(mine, LengthConfig)
    assert (mine.unit, again.name) == ("characters", "again")
    assert isinstance(team, EnsembleConfig)
    assert [member.name for member in team.members] == ["mine", "b"]
    assert isinstance(judge, EncoderConfig)
    assert judge.pairs.name == "texts"
    assert [source.name for source in checked.dataset.sources] == ["texts", "human_like_mini"]


def test_a_wrong_name_is_told_with_those_of_the_search_path(own: Path) -> None:
    with pytest.raises(ConfigError, match=r"eval.judges\[0\]=mone: .* \(allowed: .*, local, mine, minilm, .*\)"):
        loaded("config", f"hydra.searchpath=[file://{own}]", "eval.judges=[mone]")


def test_the_training_of_a_reward_model_finds_them_too(own: Path) -> None:
    config = loaded("reward_model_training", f"hydra.searchpath=[file://{own}]", "dataset=both")
    assert [source.name for source in training_config.from_hydra(config).dataset.sources] == [
        "texts",
        "human_like_mini",
    ]


@pytest.mark.parametrize("space", ["search=mine", "experiment=glob(mine_*)"])
def test_a_sweeps_files_and_patterns_find_them_too(space: str, own: Path, tmp_path: Path) -> None:
    sweep(tmp_path / "s", f"hydra.searchpath=[file://{own}]", space)
    assert len(trials(tmp_path / "s")) == 2
    judges = [OmegaConf.load(tmp_path / "s" / str(n) / ".hydra" / "config.yaml").eval.judges for n in range(2)]
    assert {judge.name for judge in judges[0]} == {"mine"}
    assert "team" in {judge.name for judge in judges[1]}


def test_a_judge_that_is_a_callable_takes_arguments_of_its_own(compose_config: Compose) -> None:
    config = compose_config(
        "eval.judges=[{reward_model: callable, name: j, function: test_choices.score, arguments: {b: 7}}]"
    )
    assert config.eval.judges[0].arguments == {"b": 7}
