"""The command that screens reward models: what it writes and prints, how it continues, and what it refuses."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import CommandLine
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from rlhf_sweeps import cli
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.preflight import check_parts
from rlhf_sweeps.record import claim
from rlhf_sweeps.reward_models.__main__ import main
from rlhf_sweeps.reward_screen import config as screen_config
from rlhf_sweeps.reward_screen.command import check_folder
from rlhf_sweeps.reward_screen.config import RewardScreenConfig

MODULE = "rlhf_sweeps.reward_models"
# Five answers of up to 12 tokens to each of six prompts; regex is the third reward model that needs nothing.
RULE = "{reward_model: regex, name: asks, patterns: [{pattern: '[?]', weight: 1.0}]}"
SMALL = ["n=4", "num_prompts=6", "ppo.response_length=12", "seed=7", "device=cpu", "hydra.run.dir=s"]
THREE = f"reward_models=[tiny,length,{RULE}]"

ComposeScreen = Callable[..., RewardScreenConfig]


@pytest.fixture
def compose_screen() -> ComposeScreen:
    """Overrides -> checked config."""
    cli.register()
    screen_config.register()

    def composed(*overrides: str) -> RewardScreenConfig:
        with initialize_config_dir(cli.conf_dir(), version_base="1.3"):
            config = compose("reward_model_screen", overrides=list(overrides))
            with open_dict(config):
                config.pop("hydra", None)
            return screen_config.from_hydra(config)

    return composed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reward_models=[tiny]"], "reward_models=[tiny]: must hold at least two reward models"),
        (["reward_models=[tiny,lenght]"], "reward_models[1]=lenght: reward_model has no such choice; did you mean le"),
        (["reward_models=[tiny,tiny]"], "reward_models: must have distinct names, has tiny twice"),
        (
            ["reward_models=[tiny,{reward_model: length, unti: words}]"],
            "reward_models[1].unti: reward_model=length ",
        ),
        (["reward_models=[tiny,{reward_model: length, weight: inf}]"], "reward_models[1].weight=inf: must be finite"),
        (["reward_models=[tiny,length]", "n=1"], "n=1: must be >= 2 and <= 1024"),
        (["reward_models=[tiny,length]", "num_prompts=1"], "num_prompts=1: must be >= 2"),
        (["reward_models=[tiny,length]", "ppo.temperature=0"], "ppo.temperature=0.0: must be >= 1e-06"),
        (["reward_models=[tiny,length]", "ppo.stop_strings=['']"], "ppo.stop_strings: an empty string would end"),
    ],
)
def test_values_that_cannot_work(overrides: list[str], message: str, compose_screen: ComposeScreen) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_screen(*overrides)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_reward_models_are_read_as_judges_are(compose_screen: ComposeScreen) -> None:
    config = compose_screen("reward_models=[vader,{reward_model: length, name: long, unit: characters}]")
    assert [(each.name, key) for each, key in config.named_reward_models] == [
        ("vader", "reward_models[0]"),
        ("long", "reward_models[1]"),
    ]
    assert config.reward_models[1].unit == "characters"
    assert config.num_answers == 65
    assert [reward_model.name for reward_model in compose_screen().reward_models] == [
        "tiny",
        "length",
        "grammar",
        "questions",
    ]


def test_models_are_looked_at_under_their_keys(compose_screen: ComposeScreen, tmp_path: Path) -> None:
    refused = {
        f"model.path={tmp_path}/none": ("model.path=", "no such file or folder"),
        f"reward_models=[tiny,{{reward_model: local, path: {tmp_path}}}]": ("reward_models[1].path=", "config.json"),
        "dataset.path=none.jsonl": ("dataset.path=", "no such file or folder"),
        "reward_models=[tiny,{reward_model: callable, function: nothing.score}]": ("reward_models[1].function=", ""),
        "ppo.response_length=100000": ("ppo.response_length=", "must fit the model's context"),
    }
    for override, (start, part) in refused.items():
        given = [override] if override.startswith("reward_models=") else ["reward_models=[tiny,length]", override]
        config = compose_screen(*given)
        with pytest.raises(ConfigError) as caught:
            check_parts(config.model, config.dataset, config.ppo, config.named_reward_models)
        assert str(caught.value).startswith(start)
        assert part in str(caught.value)


def test_a_folder_of_others_is_refused_and_one_with_other_settings(
    compose_screen: ComposeScreen, tmp_path: Path
) -> None:
    config = compose_screen("reward_models=[tiny,length]")
    (tmp_path / "answers.jsonl").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"holds answers\.jsonl, and nothing shows that it was begun by this command"):
        check_folder(config, tmp_path)


@pytest.fixture(scope="module")
def screened(run_command: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which a screen was made, and what it printed."""
    folder = tmp_path_factory.mktemp("screened")
    done = run_command("screen", THREE, *SMALL, module=MODULE, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def read_result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "s" / "screen.json").read_text(encoding="utf-8"))
    return content


def test_a_screen_says_and_writes_what_it_found(screened: tuple[Path, str]) -> None:
    folder, output = screened
    assert "5 answers to each of 6 held-out prompts, 30 in all, scored by 3 reward models" in output
    assert output.splitlines()[-2:] == ["picture: python -m analysis screen s", "all in s"]
    result = read_result(folder)
    assert (result["n"], result["num_prompts"], result["schema_version"]) == (4, 6, 1)
    assert [entry["name"] for entry in result["reward_models"]] == ["tiny", "length", "asks"]
    assert result["config"]["ppo"]["response_length"] == 12
    rows = [json.loads(line) for line in (folder / "s" / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted((row["prompt_number"], row["answer_number"]) for row in rows) == [
        (prompt, answer) for prompt in range(6) for answer in range(5)
    ]
    # The rule's scores follow from the texts, so each score stands beside its own answer.
    assert all(row["scores"]["asks"] == row["response"].count("?") for row in rows)
    assert len({row["response"] for row in rows}) > 20
    (own,) = [
        point["win_rate"]
        for point in result["curves"]
        if point["reward_model"] == point["judge"] == "tiny" and point["n"] == 4
    ]
    assert own == pytest.approx(4 / 5, abs=0.02)  # n / (n + 1), except for equal answers


def test_a_second_start_samples_nothing_and_may_have_further_reward_models(
    screened: tuple[Path, str], run_command: CommandLine
) -> None:
    folder, _ = screened
    base = folder / "s" / "base"
    before = {file: file.stat().st_mtime_ns for file in base.iterdir()}
    answers, result = (folder / "s" / "answers.jsonl").read_text(encoding="utf-8"), read_result(folder)
    again = run_command("screen", THREE, *SMALL, module=MODULE, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert {file: file.stat().st_mtime_ns for file in base.iterdir()} == before
    assert (folder / "s" / "answers.jsonl").read_text(encoding="utf-8") == answers
    assert read_result(folder) == result
    more = THREE.replace("[tiny", "[{reward_model: length, name: chars, unit: characters},tiny")
    done = run_command("screen", more, *SMALL, module=MODULE, cwd=folder)
    assert done.returncode == 0, done.stderr
    (new,) = {file.name.rsplit("_", 1)[0] for file in base.iterdir()} - {file.name.rsplit("_", 1)[0] for file in before}
    assert new == "scores_chars"
    other = run_command("screen", THREE, *SMALL, "ppo.temperature=0.5", module=MODULE, cwd=folder)
    assert other.returncode == 2
    assert "holds a screen with other settings (ppo.temperature was 1.0, is 0.5); choose another folder" in other.stderr


def test_an_interrupted_screen_says_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(config: RewardScreenConfig, folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "rlhf_sweeps.reward_screen.screening", SimpleNamespace(screen=interrupt))
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
    monkeypatch.setattr(sys, "argv", ["-m", "screen", "reward_models=[tiny,length]", "hydra.run.dir=my s", *quiet])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    (line,) = capsys.readouterr().out.splitlines()
    start = "Continue with: python -m rlhf_sweeps.reward_models screen 'reward_models=[tiny,length]' "
    assert line.startswith(start)
    assert line.endswith(" 'hydra.run.dir=my s'")


def test_a_folder_where_another_process_screens_is_left_to_it(command_line: CommandLine, tmp_path: Path) -> None:
    with claim(tmp_path / "s", ""):
        done = command_line("screen", THREE, *SMALL, module=MODULE)
    assert done.returncode == 2
    assert "hydra.run.dir=s: another process is screening there; choose another folder" in done.stderr
    assert not (tmp_path / "s" / "screen.json").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["screne"], "screne: must be train or screen; did you mean screen? (see --help)"),
        ([], "no command: must be train or screen (see --help)"),
        (["screen", "reward_models=tiny"], "reward_models=tiny: "),
        (["screen", "reward_models=[tiny,length]", "num_prompt=3"], "num_prompt: there is no such key"),
        (["screen", "reward_models=[tiny,length]", "dataset=none"], "none"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], expected: str, command_line: CommandLine, tmp_path: Path) -> None:
    result = command_line(*arguments, module=MODULE)
    (line,) = result.stderr.splitlines()
    assert (result.returncode, line.startswith("error: "), expected in line) == (2, True, True), line
    assert not list(tmp_path.iterdir())
