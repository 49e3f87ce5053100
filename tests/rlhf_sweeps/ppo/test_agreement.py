"""The three ways in which PPO reads a policy against a plain forward pass, for one architecture of each kind.

The kinds: windows, chunks, layers of both sorts, capped or scaled logits, biases in place of positions, positions that
are learnt, and models that read the tokens one after another.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from helpers import toy
from transformers import AutoModelForCausalLM, PreTrainedModel

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo.agreement import check_models, check_policy, check_reader, check_trunk
from rlhf_sweeps.ppo.constants import LONGEST_TRIAL
from rlhf_sweeps.ppo.context_limits import check_positions
from rlhf_sweeps.ppo.language_model import LanguageModel, ValueModel, has_plain_head
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.packing import draw_trial_sequences, draw_trial_tokens, enable_packing, is_same, reads_packed
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import pad_left, pad_right

VOCABULARY = 48
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 1,
}
GROUPED = SIZES | {"num_key_value_heads": 1}
WINDOW = GROUPED | {"sliding_window": 6}
MIXED = WINDOW | {"head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]}
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 16}
EXACT = {
    "llama": ("LlamaConfig", GROUPED),
    "windows": ("MistralConfig", WINDOW),
    "some windows": ("Qwen2Config", WINDOW | {"use_sliding_window": True, "max_window_layers": 1}),
    "two sorts of layers": ("Gemma3TextConfig", MIXED | {"query_pre_attn_scalar": 8}),
    "capped logits": ("Gemma2Config", MIXED | {"query_pre_attn_scalar": 8, "final_logit_softcapping": 5.0}),
    "scaled logits": ("GraniteConfig", GROUPED | {"logits_scaling": 3.0}),
    "learnt positions": (
        "GPT2Config",
        {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    ),
    "biases": ("BloomConfig", SMALL | {"n_layer": 2, "n_head": 2, "initializer_range": 0.3}),
    "experts": ("MixtralConfig", GROUPED | {"num_local_experts": 3, "sliding_window": None}),
}
REFUSED = {
    "rwkv": ("RwkvConfig", SMALL | {"num_hidden_layers": 2, "context_length": 64}, "gives other results"),
    "mamba": ("MambaConfig", SMALL | {"num_hidden_layers": 2, "state_size": 4}, "fails"),
    "lfm2": ("Lfm2Config", GROUPED | {"layer_types": ["conv", "full_attention"]}, "fails"),
}
LONGEST = 28  # tokens of prompt and response
PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20], [21], [22, 23, 24, 25, 26]]


def made(name: str, values: dict[str, Any]) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(getattr(transformers, name)(**values)).eval()
    return model


def reader(policy: PreTrainedModel, longest: int = LONGEST) -> LanguageModel:
    enable_packing(policy.base_model, longest)
    return LanguageModel(policy, 0.8, has_plain_head=has_plain_head(policy))


@torch.no_grad()
def plain_logprobs(policy: PreTrainedModel, sequence: list[int], num: int) -> torch.Tensor:
    """Of the last `num` tokens, by one call of transformers' model."""
    logprobs = (policy(torch.tensor([sequence])).logits[0] / 0.8).log_softmax(-1)
    return torch.stack([logprobs[place - 1, sequence[place]] for place in range(len(sequence) - num, len(sequence))])


@pytest.mark.parametrize("kind", EXACT)
def test_what_is_not_refused_is_exact(kind: str) -> None:
    policy = made(*EXACT[kind])
    language_model, sampler = reader(policy), toy.sampler(response_length=12)
    check_policy(language_model, sampler, PROMPTS[0], "model.path=x")
    sampled = sampler.sample(policy, PROMPTS, torch.Generator().manual_seed(1))
    given = torch.randint(VOCABULARY, (3, 12), generator=torch.Generator().manual_seed(2)).tolist()
    masks = pad_right([given[0], given[1][:3], given[2][:8]], 0, policy.device)
    read = Responses(*pad_left(PROMPTS, 0, policy.device), *masks, torch.zeros(3, 12), torch.ones(3, dtype=torch.bool))
    for batch in (sampled, read):
        found = [language_model.logprobs(batch)] + ([batch.logprobs] if batch is sampled else [])
        for row, (sequence, num) in enumerate(zip(batch.sequences, batch.lengths, strict=True)):
            for logprobs in found:
                assert torch.allclose(logprobs[row, :num], plain_logprobs(policy, sequence, num), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_batches_otherwise_than_alone_is_refused_in_a_line(kind: str) -> None:
    name, values, reason = REFUSED[kind]
    with pytest.raises(ConfigError, match=rf"^model.path=x: must be of an architecture .*this one {reason}") as caught:
        check_policy(reader(made(name, values)), toy.sampler(), PROMPTS[0], "model.path=x")
    assert "\n" not in str(caught.value)


def test_a_static_cache_is_tried_where_it_is_asked_for() -> None:
    """transformers' GPT-Neo takes its place in a static cache for its length."""
    values = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]}
    language_model = reader(made("GPTNeoConfig", values | {"vocab_size": VOCABULARY, "window_size": 6}))
    check_policy(language_model, toy.sampler(), PROMPTS[0], "model.path=x")
    static = replace(toy.sampler(), is_static=True)
    check_policy(reader(made(*EXACT["windows"])), static, PROMPTS[0], "model.path=x")
    with pytest.raises(ConfigError, match=r"^model.path=x with ppo.static_decoding=true: must be of an architecture"):
        check_policy(language_model, static, PROMPTS[0], "model.path=x")


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        # Its trunk is a wrapper that names no embedding.
        ("BartConfig", {"vocab_size": VOCABULARY, "d_model": 16, "decoder_layers": 1}, "gives other results"),
        ("YoutuConfig", GROUPED, "fails: The size of"),  # of whose keys and queries the numbers of heads differ
    ],
)
def test_a_model_that_loading_does_not_expect_is_refused_in_a_line(
    name: str, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^model.path=x: must be of an architecture .*this one {reason}"):
        check_policy(reader(made(name, values)), toy.sampler(), PROMPTS[0], "model.path=x")


def test_logits_that_are_no_numbers_are_refused() -> None:
    policy = made(*EXACT["llama"])
    policy.lm_head.weight.data[3] = torch.nan
    with pytest.raises(ConfigError, match=r"^model.path=x: .*logits are not finite"):
        check_policy(reader(policy), toy.sampler(), PROMPTS[0], "model.path=x")


@pytest.mark.parametrize("kind", ["windows", "some windows", "two sorts of layers"])
@pytest.mark.parametrize(("longest", "expected"), [(6, True), (7, False), (None, False)])
def test_windows_are_packed_where_no_sequence_is_longer(kind: str, longest: int | None, expected: bool) -> None:
    trunk = made(*EXACT[kind]).base_model
    assert enable_packing(trunk, longest) is expected
    assert reads_packed(trunk) is expected


@pytest.mark.parametrize(("longest", "expected"), [(300, True), (301, False), (None, False)])
def test_windows_longer_than_a_trial_are_known_from_the_masks(longest: int | None, expected: bool) -> None:
    trunk = made("MistralConfig", WINDOW | {"sliding_window": 300, "max_position_embeddings": 1000}).base_model
    assert LONGEST_TRIAL < 300
    assert enable_packing(trunk, longest) is expected


def test_chunks_are_no_windows_and_are_not_packed_either() -> None:
    config = transformers.Llama4TextConfig(
        **GROUPED, head_dim=8, num_local_experts=1, intermediate_size_mlp=24, attention_chunk_size=6
    )
    trunk = transformers.Llama4TextModel(config).eval()
    assert not enable_packing(trunk, 7)
    assert not enable_packing(trunk)


def test_a_trial_is_as_long_as_sequences_get_and_not_longer_than_need_be() -> None:
    policy = made(*EXACT["llama"])
    assert [len(tokens) for tokens in draw_trial_sequences(policy, 30)] == [30, 10, 1]
    assert len(draw_trial_sequences(policy, None)[0]) == 64  # its positions
    policy.config.max_position_embeddings = 10_000
    assert len(draw_trial_sequences(policy, None)[0]) == LONGEST_TRIAL
    assert draw_trial_tokens(policy, 500) == draw_trial_tokens(policy, 500)
    assert max(draw_trial_tokens(policy, 500)) < VOCABULARY


@pytest.mark.parametrize(("kind", "expected"), [("llama", True), ("capped logits", False), ("scaled logits", False)])
@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_a_head_is_plain_if_nothing_follows_it_however_small_its_logits(kind: str, expected: bool, size: float) -> None:
    policy = made(*EXACT[kind])
    for parameter in policy.parameters():
        parameter.data *= size
    assert has_plain_head(policy) is expected


def test_rounding_is_no_difference() -> None:
    expected = torch.tensor([-0.5, 30.0])
    assert is_same(expected + 5e-4, expected, torch.float32)
    assert not is_same(expected + 7e-4, expected, torch.float32)
    assert is_same(expected + 1, expected, torch.bfloat16)
    assert not is_same(expected[:1] + 3e-5, expected[:1], torch.float32)
    assert not is_same(expected * torch.nan, expected, torch.float32)


def test_a_value_models_trunk_must_read_in_batches_and_know_all_that_is_sampled() -> None:
    language_model = reader(made(*EXACT["llama"]))

    def check(name: str, values: dict[str, Any]) -> None:
        check_trunk(language_model, made(name, values).base_model, PROMPTS[0], 0, "ppo.value_model=path")

    check(*EXACT["windows"])
    check("LlamaConfig", GROUPED | {"vocab_size": VOCABULARY + 16})
    with pytest.raises(ConfigError, match=r"^ppo.value_model=path: its embedding must have .* 48 ids, has 47 rows"):
        check("LlamaConfig", GROUPED | {"vocab_size": VOCABULARY - 1})
    with pytest.raises(ConfigError, match=r"^ppo.value_model=path: must be of an architecture that reads responses"):
        check(*REFUSED["rwkv"][:2])


def test_a_policy_whose_trunk_is_not_to_be_told_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = made(*EXACT["llama"]).base_model
    monkeypatch.setattr(models, "load", lambda *arguments, **options: (trunk, {"missing_keys": set()}))
    config = models.ModelConfig("x", "folder", None, None, None, "float32", 1e-5)
    with pytest.raises(ConfigError, match=r"^model.path=folder: must have a trunk of its own, LlamaModel has none"):
        models.load_policy(config, torch.device("cpu"))


def test_the_trial_draws_from_no_other_random_numbers() -> None:
    before = torch.get_rng_state()
    sampler = toy.sampler()
    check_policy(reader(made(*EXACT["llama"])), sampler, PROMPTS[0], "model.path=x")
    assert torch.equal(torch.get_rng_state(), before)
    assert sampler.batch.size == BatchSize("", 4).size


LONGROPE = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 10000.0}
PHI3 = GROUPED | {"rope_parameters": LONGROPE, "original_max_position_embeddings": 20, "sliding_window": None}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
BY_LAYER = {
    "full_attention": LONGROPE | {"original_max_position_embeddings": 20},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        ("longrope", "Phi3Config", PHI3),
        ("dynamic", "LlamaConfig", GROUPED | {"rope_parameters": DYNAMIC, "max_position_embeddings": 20}),
        ("longrope", "Gemma3TextConfig", MIXED | {"rope_parameters": BY_LAYER}),
    ],
)
def test_positions_that_depend_on_the_longest_sequence_are_refused_where_it_is_long_enough(
    kind: str, name: str, values: dict[str, Any]
) -> None:
    policy = made(name, values)
    check_positions(policy, 20, "model.path=x", "shorter")
    told = rf"^model.path=x: its positions \({kind}\) .* 20 tokens, here it may have 21 \(shorter\)$"
    with pytest.raises(ConfigError, match=told):
        check_positions(policy, 21, "model.path=x", "shorter")
    with pytest.raises(ConfigError, match="any number"):
        check_positions(policy, None, "model.path=x", "shorter")


def test_both_models_of_a_run_are_looked_at_for_such_positions() -> None:
    scaled = made("Phi3Config", PHI3)
    plain = made(*EXACT["llama"])

    def check(policy: PreTrainedModel, trunk: PreTrainedModel, num: int) -> None:
        value_model = ValueModel(torch.nn.Linear(16, 1), trunk.base_model)
        settings = toy.settings(value_model="path", trl_metrics=True)
        check_models(settings, reader(policy), value_model, toy.sampler(), [PROMPTS[0][:num]], "model.path=x")

    for policy, trunk in ((scaled, plain), (plain, scaled)):
        check(policy, trunk, 11)  # and 8 of the response and 1 of padding
    with pytest.raises(ConfigError, match=r"^model.path=x: its positions .* 20 tokens, here it may have 21"):
        check(scaled, plain, 12)
    with pytest.raises(ConfigError, match=r"^ppo.value_model=path: its positions .* 20 tokens, here it may have 21"):
        check(plain, scaled, 12)


@pytest.mark.parametrize("num", [3, 16])
def test_what_is_wrong_only_beyond_a_window_is_refused_where_responses_get_there(num: int) -> None:
    """Of transformers' Moshi, a cache beyond the window comes to other numbers."""
    values = GROUPED | {"sliding_window": 40, "head_dim": 8, "max_position_embeddings": 128}
    moshi, mistral, prompt = made("MoshiConfig", values), made("MistralConfig", values), PROMPTS[0][:num]
    check_policy(reader(moshi, 40), toy.sampler(40 - num), prompt, "model.path=x")
    check_policy(reader(mistral, 107), toy.sampler(90), prompt, "model.path=x")
    with pytest.raises(ConfigError, match=r"^model.path=x: must be of an architecture that can be sampled from"):
        check_policy(reader(moshi, 107), toy.sampler(90), prompt, "model.path=x")


def test_sequences_that_a_policy_has_no_positions_for_are_refused_before_it_reads_them() -> None:
    policy, sampler = reader(made(*EXACT["learnt positions"])), toy.sampler(48)  # 64 positions
    check_reader(policy, sampler, PROMPTS[0], "model.path=x", "shorter")
    for prompt, padding in (([*PROMPTS[0], 5], 0), (PROMPTS[0], 1)):
        with pytest.raises(ConfigError, match=r"^model.path=x: its context is 64 tokens, .* may have 65 \(shorter\)$"):
            check_reader(policy, sampler, prompt, "model.path=x", "shorter", padding)
