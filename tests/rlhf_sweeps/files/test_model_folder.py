"""What a model's folder shows before loading: files that hold anything are refused in a line, or left to loading."""

import json
from pathlib import Path

import pytest

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.files.model_folder import check_vocabulary, check_weights

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "content",
    [
        '{"model": {"vocab": {"a": "1"}}}',
        '{"model": {"vocab": {"a": null}}}',
        '{"model": {"vocab": [3]}}',
        '{"model": {"vocab": {}}, "added_tokens": [{"id": [1], "content": "a"}]}',
        DEEP,
    ],
)
def test_a_tokenizer_that_says_nothing_of_ids_is_left_to_loading(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    check_vocabulary(tmp_path, {"vocab_size": 1}, "model.path=x")


@pytest.mark.parametrize(
    "content", ['{"weight_map": {"a": 5}}', '{"weight_map": 5}', '{"weight_map": {"a": []}}', DEEP]
)
def test_a_damaged_index_is_a_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^model.path=x: its model.safetensors.index.json is damaged \(.*\)$"):
        check_weights(tmp_path, "model.path=x")


@pytest.mark.parametrize("shape", [None, "ab", [None], [1.5], 3])
def test_a_damaged_header_is_a_line(shape: object, tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ConfigError, match=r"^model.path=x: its model.safetensors is damaged \(.*\)$"):
        check_weights(tmp_path, "model.path=x")
