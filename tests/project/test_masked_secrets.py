"""SECURITY.md, sentence by sentence: what is masked is not used, and a secret may be renewed."""

from pathlib import Path

import pytest
from conftest import CommandLine, Compose
from helpers.known_secrets import FAST, KEYED
from helpers.records import write_sweep

from analysis.reading.sources import read_all
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.references import take_fingerprints
from rlhf_sweeps.config.schema import as_dict
from rlhf_sweeps.preflight import check_folder
from rlhf_sweeps.record import Run


def test_what_is_masked_is_refused(tmp_path: Path, command_line: CommandLine) -> None:
    storage = "hydra.sweeper.storage=postgresql://me:***@host/db"
    reward_model = ("reward_model=callable", "reward_model.function=a.b")
    for word in (storage, "+reward_model.arguments.api_key=***"):
        done = command_line("-m", "ppo.lr=1e-4,1e-5", word, *reward_model)
        assert (done.returncode, done.stderr.count("error: ")) == (2, 1), done.stderr
        line = f"error: {word.lstrip('+')}: its secret is masked, so it cannot be used; give the secret"
        assert line in done.stderr
    folder = tmp_path / "sweep"
    write_sweep(folder, [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-5}])
    with pytest.raises(AnalysisError, match=r"^--storage=postgresql://me:\*\*\*@host/db: its password is masked"):
        read_all([folder], "postgresql://me:***@host/db")


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
    start = Run(tmp_path).begin(as_dict(config), lambda salt: take_fingerprints(config, salt))
    assert list(start["references"]) == ["${oc.env:MY_NOTE}"]
    monkeypatch.setenv("MY_VALUE", "renewed")
    monkeypatch.setenv("MY_TOKEN", "renewed")
    check_folder(compose_config(*keys), tmp_path)
    monkeypatch.setenv("MY_NOTE", "another")
    with pytest.raises(ConfigError, match=r"a run with other settings \(\$\{oc.env:MY_NOTE\} has another value\)"):
        check_folder(compose_config(*keys), tmp_path)
