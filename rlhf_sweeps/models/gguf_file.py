"""Conversion of a GGUF file into a folder of float32 safetensors, once, with everything that transformers repeats cut.

transformers parses the file three times, string by string, and makes the table of the tensors' names anew for each of
a model's modules: for 135M parameters that took longer than the conversion itself. The weights are the same, bit for
bit.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf_sweeps.files.cache import make_once
from rlhf_sweeps.process.activity import Activity, report_activity


def convert_once(file: Path) -> Path:
    """The cached folder with a GGUF file's model and tokenizer; the first call makes it beside the file."""
    return make_once(file.with_suffix(""), lambda scratch: convert(file, scratch / "model"))


def convert(file: Path, folder: Path) -> Path:
    """Write a GGUF file's model, as float32 safetensors, and its tokenizer into a folder; returns the folder."""
    with report_activity(f"converting {file.name}") as converting, _read_once(converting):
        model: Any = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
        )
        # transformers still treats the model as quantised, and would refuse to save it.
        model.hf_quantizer = None
        del model.config.quantization_config
        model.save_pretrained(folder)
        tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
        tokenizer.save_pretrained(folder)
    return folder


@contextlib.contextmanager
def _read_once(converting: Activity) -> Iterator[None]:
    """Within this context a file is parsed once and a table of names is made once; both libraries get them again.

    transformers' own bar is left out, and its tensors are counted instead.
    """
    import gguf
    from transformers import modeling_gguf_pytorch_utils as converter

    class PlainReader(gguf.GGUFReader):
        """Reads from a plain view of the mapped file: a slice of a memmap costs several times that of an array."""

        def _get(self, *arguments: Any, **options: Any) -> Any:
            self.data = np.asarray(self.data)  # type: ignore[assignment]
            return super()._get(*arguments, **options)

    def count(tensors: Sequence[Any], **_: Any) -> Iterator[Any]:
        converting.total = len(tensors)
        for converting.done, tensor in enumerate(tensors):
            yield tensor

    replacements = {
        (gguf, "GGUFReader"): functools.cache(PlainReader),
        (gguf, "get_tensor_name_map"): functools.cache(gguf.get_tensor_name_map),
        (converter, "tqdm"): count,
    }
    # Whatever a later version does not have any more is not replaced: the result is the same.
    before = {place: getattr(*place) for place in replacements if hasattr(*place)}
    for (module, name), _ in before.items():
        setattr(module, name, replacements[module, name])
    try:
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
