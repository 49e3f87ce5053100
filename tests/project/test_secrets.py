"""SECURITY.md, sentence by sentence: secrets are in no file and no line."""

from pathlib import Path

import pytest
import yaml
from conftest import CommandLine
from helpers.known_secrets import FAST, KEYED, SECRET, leaks
from helpers.known_secrets import own_choice as own_choice
from helpers.records import write_run
from helpers.sweeping import sweep

from analysis.reading.sources import read_all
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run


def test_no_secret_of_a_sweep_is_in_any_file_or_line(own_choice: Path, command_line: CommandLine) -> None:
    """The real trainer, W&B offline, the report, the study elsewhere; the reward model gets all secrets as they are."""
    words = (
        "-m", "--config-dir", "own", "reward_model=mine,length", 'ppo.lr="${oc.env:MY_LR}"', "tracking=offline", *FAST,
        "hydra.sweep.dir=sweep", "hydra.sweeper.workers=1",
        f'hydra.sweeper.storage="sqlite:///file:{own_choice}/s.db?uri=true&password=literal-five${{oc.env:MY_PART}}"',
    )  # fmt: skip
    done = command_line(*words)
    assert done.returncode == 0, done.stderr
    again = command_line(*words)
    assert again.returncode == 0, again.stderr
    for one in (done, again):
        assert not SECRET.search((one.stdout + one.stderr).encode())
    folder = own_choice / "sweep"
    assert leaks(own_choice) == {}
    assert (folder / "report.html").is_file()
    assert list(folder.glob("0/wandb/*/*.wandb"))
    shown = f"sqlite:///file:{own_choice}/s.db?uri=true&password=***${{oc.env:MY_PART}}"
    for name in ("multirun.yaml", "0/.hydra/hydra.yaml"):
        assert yaml.safe_load((folder / name).read_text())["hydra"]["sweeper"]["storage"] == shown
    start = Run(folder / "0").start()
    assert start is not None
    assert start["config"]["reward_model"]["arguments"] == {
        "api_key": "***",
        "url": "https://me:***${oc.env:MY_PART}@host/?token=***",
        "headers": {"Authorization": "Bearer ${oc.env:MY_TOKEN}"},
        "note": "before ${oc.env:MY_NOTE}",
        "pin": "${oc.decode:${oc.env:MY_PIN}}",
        "fallback": "***",
    }
    assert start["config"]["ppo"]["lr"] == 0.00012345


def test_no_secret_of_a_run_that_fails_is_in_any_file_or_line(own_choice: Path, command_line: CommandLine) -> None:
    words = ("--config-dir", "own", "reward_model=mine", "+reward_model.arguments.fails=true", "hydra.run.dir=run")
    more = ("+reward_model.arguments.password=literal-six", "tracking=offline", *FAST)
    done = command_line(*words, *more)
    assert done.returncode == 1
    assert "401 for {'api_key': '***'" in done.stderr
    assert not SECRET.search((done.stdout + done.stderr).encode())
    assert leaks(own_choice) == {}
    (summary,) = (own_choice / "run").glob("summary.json")
    assert "401 for {'api_key': '***'" in summary.read_text()
    assert "- +reward_model.arguments.password=***" in (own_choice / "run" / ".hydra" / "overrides.yaml").read_text()


@pytest.mark.parametrize(
    "flags",
    [
        "--cfg job", "--cfg hydra", "--cfg all", "--info all", "--help", "--cfg job --package reward_model",
        "--cfg job --package reward_model.arguments.url", "--cfg job --package reward_model.arguments.api_key",
        "--cfg hydra --package hydra.overrides", "--cfg hydra --package hydra.job",
        "--cfg hydra --package hydra.overrides.task.1",
        "-m ppo.lr=1e-4,1e-5 hydra.sweeper.dry_run=true hydra.verbose=true",
    ],
)  # fmt: skip
def test_what_hydra_prints_of_a_config_is_masked(flags: str, own_choice: Path, command_line: CommandLine) -> None:
    words = ("--config-dir", "own", "reward_model=mine", "+reward_model.arguments.password=literal-six", *FAST)
    storage = f"hydra.sweeper.storage='sqlite:///{own_choice}/s.db?password=literal-five'"
    done = command_line(*flags.split(), *words, storage)
    assert done.returncode == 0, done.stderr
    assert "***" in done.stdout + done.stderr
    assert not SECRET.search((done.stdout + done.stderr).encode())


def test_a_resolved_config_has_the_values_of_variables_but_for_secrets(
    own_choice: Path, command_line: CommandLine
) -> None:
    done = command_line("--cfg", "job", "--resolve", "--config-dir", "own", "reward_model=mine")
    assert yaml.safe_load(done.stdout)["reward_model"]["arguments"] == {
        "api_key": "***",
        "url": "https://me:***@host/?token=***",
        "headers": {"Authorization": "***"},
        "note": "before variable-two",
        "pin": 4711004711,
        "fallback": "***",
    }


@pytest.mark.parametrize("key", ["nothing.here", "ppo.kl_target"])
def test_a_part_that_there_is_not_is_refused(key: str, command_line: CommandLine) -> None:
    done = command_line("--cfg", "job", "--package", key)
    assert (done.returncode, done.stderr) == (2, f"error: --package={key}: there is no such key, or it is null\n")


def test_the_folder_of_a_shell_is_shown_and_names_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: CommandLine
) -> None:
    """Which variable PWD is in every process that a shell starts."""
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("DB_PWD", "literal-one")
    done = command_line("--config-dir", "gone", "name=literal-one")
    assert done.stderr == f"error: Additional config directory '{tmp_path}/gone' not found\n"
    done = command_line("hydra.run.dir='${oc.env:PWD}/run'", "dataset.path=gone.jsonl", "name=literal-one")
    assert (done.returncode, "a secret" in done.stderr) == (2, False), done.stderr


@pytest.mark.parametrize(
    "key", ["name", "tracking.project", "tracking.entity", "model.name", "hydra.run.dir", "tracking.tags"]
)
def test_a_secret_is_no_name(key: str, own_choice: Path, command_line: CommandLine) -> None:
    done = command_line(f'{key}="${{oc.env:MY_TOKEN}}"', "tracking=disabled")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {key}=${{oc.env:MY_TOKEN}}: must not contain a secret" in done.stderr
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())
    assert not SECRET.search(done.stderr.encode())
    assert not (own_choice / "outputs").exists()


def test_a_sweep_varies_references_and_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyed_reward.py").write_text(KEYED)
    monkeypatch.syspath_prepend(tmp_path)
    keys = ("reward_model=callable", "reward_model.function=keyed_reward.score", *FAST)
    monkeypatch.setenv("ONE_KEY", "variable-one")
    monkeypatch.setenv("OTHER_KEY", "variable-two")
    with pytest.raises(ConfigError, match="api_key: a sweep records the values that it varies, ") as told:
        sweep(tmp_path / "sweep", *keys, "+reward_model.arguments.api_key=literal-one,literal-two")
    assert "literal" not in str(told.value)
    assert not (tmp_path / "sweep").exists()
    sweep(tmp_path / "other", *keys, "+reward_model.arguments.api_key='${oc.env:ONE_KEY}','${oc.env:OTHER_KEY}'")
    assert leaks(tmp_path) == {}


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "ppo.lr=1e-4,1e-5", "hydra.sweeper.storage='postgresql:/me:hunter2x@h/db'"),
        ("-m", "ppo.lr=1e-4,1e-5", "hydra.sweeper.storage='me:hunter2x@h/db'"),
        ("+reward_model.arguments={api_key:hunter2x", "reward_model=callable"),
        (
            "reward_model=callable",
            "reward_model.function=keyed.score",
            "+reward_model.arguments={api_key:hunter2x,b: 1}",
        ),
        ("ppo.lr='${oc.env:HF_TOKEN}'",),
        ("-m", "ppo.batch_size='${oc.env:HF_TOKEN}'", "ppo.lr=1e-4,1e-5"),
        ("-m", "hydra.sweeper.n_trials='${oc.env:HF_TOKEN}'", "ppo.lr=1e-4,1e-5"),
        ("reward_model.kind='${oc.env:HF_TOKEN}'",),
        ("eval.judges=['${oc.env:HF_TOKEN}']",),
        ("model.path=https://me:hunter2x@h/x",),
    ],
)
def test_a_refusal_shows_no_secret(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: CommandLine
) -> None:
    (tmp_path / "keyed.py").write_text(KEYED)
    monkeypatch.setenv("HF_TOKEN", "hf-hunter2x")
    done = command_line(*words)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "hunter2x" not in done.stderr + done.stdout


def test_hydras_own_sweepers_get_no_secrets(tmp_path: Path, command_line: CommandLine) -> None:
    words = ("reward_model=callable", "reward_model.function=a.b", "+reward_model.arguments.api_key=literal-one")
    done = command_line("-m", "hydra/sweeper=basic", "ppo.lr=1e-4,1e-5", *words, "hydra.sweep.dir=sweep")
    assert done.returncode == 2
    assert done.stderr.startswith("error: reward_model.arguments.api_key: hydra.")
    assert leaks(tmp_path) == {}


def test_the_analysis_shows_no_secret_of_an_older_record(tmp_path: Path) -> None:
    told = ["+reward_model.arguments.api_key=literal-one"]
    run = write_run(tmp_path / "run", settings={"api_key": "literal-two"}, overrides=told)
    (record,) = read_all([run.folder]).runs
    assert record.overrides == ("+reward_model.arguments.api_key=***",)
    assert "***" in record.config.values()
    assert "literal" not in f"{record.config} {record.overrides}"


def test_a_sweep_of_literals_keeps_them_out_of_its_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "keyed_reward.py").write_text(
        "def score(prompts, responses, api_key): return [0.0] * len(responses)\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "code")
    function = ("reward_model=callable", "reward_model.function=keyed_reward.score")
    sweep(tmp_path / "sweep", *function, "+reward_model.arguments.api_key=literal-one", *FAST, "ppo.lr=1e-4,1e-3")
    assert leaks(tmp_path) == {}
    master = yaml.safe_load((tmp_path / "sweep" / "multirun.yaml").read_text())
    assert master["reward_model"]["arguments"] == {"api_key": "***"}
