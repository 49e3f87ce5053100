"""A GGUF file and the model that it was written from: the same weights, however often libraries want to read it."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers import logging as transformers_logging

from rlhf_sweeps.models import gguf_file
from rlhf_sweeps.process.activity import Activity

WORDS = ["<unk>", "<s>", "</s>", "ab", *"abcdefghijklmnopqrstuvwxyz01"]
SIZE, NUM_HEADS = 32, 2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A Llama of two layers whose feed-forward matrices are in 4 bits, and a vocabulary of 32 letters."""
    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(SIZE)
    writer.add_block_count(2)
    writer.add_feed_forward_length(SIZE)
    writer.add_head_count(NUM_HEADS)
    writer.add_head_count_kv(NUM_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, 3, *[1] * (len(WORDS) - 3)])
    writer.add_token_merges(["a b"])
    for add, number in ((writer.add_unk_token_id, 0), (writer.add_bos_token_id, 1), (writer.add_eos_token_id, 2)):
        add(number)
    noise = np.random.default_rng(0)

    def add(name: str, *shape: int, kind: gguf.GGMLQuantizationType | None = None) -> None:
        values = noise.normal(size=shape).astype(np.float32)
        writer.add_tensor(name, values if kind is None else gguf.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", len(WORDS), SIZE)
    add("output_norm.weight", SIZE)
    for layer in range(2):
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{name}.weight", SIZE)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", SIZE, SIZE)
        for name in ("ffn_gate", "ffn_up", "ffn_down"):
            add(f"blk.{layer}.{name}.weight", SIZE, SIZE, kind=gguf.GGMLQuantizationType.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    transformers_logging.disable_progress_bar()
    return tmp_path / "tiny.gguf"


def test_the_weights_are_those_that_transformers_reads_by_itself(file: Path, tmp_path: Path) -> None:
    expected = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32)
    made = AutoModelForCausalLM.from_pretrained(gguf_file.convert(file, tmp_path / "model"))
    weights = expected.state_dict()
    assert len(weights) == 2 + 2 * 9 + 1  # the last is the output layer, which is the embedding
    assert made.state_dict().keys() == weights.keys()
    assert all(torch.equal(weight, weights[name]) for name, weight in made.state_dict().items())
    assert isinstance(made, LlamaForCausalLM)
    assert isinstance(made.config, LlamaConfig)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.tokenize("abcab") == ["ab", "c", "ab"]


def test_the_file_is_parsed_once_and_its_tensors_are_counted(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[Any] = []
    build_fields = gguf.GGUFReader._build_fields
    monkeypatch.setattr(
        gguf.GGUFReader, "_build_fields", lambda reader, *given: parsed.append(reader) or build_fields(reader, *given)
    )
    converting = Activity("converting")
    reader = gguf.GGUFReader
    with gguf_file._read_once(converting):
        AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32)
        AutoTokenizer.from_pretrained(tmp_path, gguf_file=file.name)
    assert len(parsed) == 1
    assert (converting.done, converting.total) == (19, 20)  # the place of the last one, of all
    assert gguf.GGUFReader is reader  # others get what they know
