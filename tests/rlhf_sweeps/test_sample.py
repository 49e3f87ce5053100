"""`python -m rlhf_sweeps.sample` against a sampler written here: one sequence, no cache, transformers' own nucleus."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL, Compose
from helpers.records import lose
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TopPLogitsWarper,
)

from rlhf_sweeps import chat, sample
from rlhf_sweeps.config.schema import as_dict
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo import sampling
from rlhf_sweeps.record import Run, write_object

QUESTION = "What do you do on weekends?"
# A nucleus and a stop string that change both answers to this question.
SETTINGS = ("ppo.top_p=0.7", "ppo.stop_strings=[e t,'!']", "ppo.response_length=24", "ppo.temperature=1.3")


@pytest.fixture
def run(compose_config: Compose, tmp_path: Path) -> Run:
    """A run as it is recorded, of a policy that was moved by hand."""
    config = compose_config(*SMALL, *SETTINGS)
    run = Run(tmp_path)
    run.begin(as_dict(config))
    policy, tokenizer = models.load_policy(config.model, torch.device("cpu")), models.load_tokenizer(config.model)
    policy.lm_head.weight.data *= 0.8
    policy.save_pretrained(run.model)
    tokenizer.save_pretrained(run.model)
    return run


@torch.no_grad()
def answer(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    seed: int = 0,
    length: int = 24,
    temperature: float = 1.3,
    top_p: float = 0.7,
    stop_strings: tuple[str, ...] = ("e t", "!"),
) -> str:
    """A uniform number a token; tokens stand in the order of their probability."""
    chat = [{"role": "user", "content": QUESTION}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    response: list[int] = []
    for uniform in torch.rand(1, length, generator=torch.Generator().manual_seed(seed))[0]:
        logits = policy(torch.tensor([prompt + response])).logits[:, -1] / temperature
        kept = TopPLogitsWarper(top_p)(None, logits).softmax(-1)[0] if top_p < 1 else logits.softmax(-1)[0]
        mass, tokens = kept.sort(descending=True) if top_p < 1 else (kept, torch.arange(len(kept)))
        response.append(int(tokens[int((mass.cumsum(0) <= uniform * mass.sum()).sum())]))
        text = tokenizer.decode(response, skip_special_tokens=True)
        if response[-1] == tokenizer.eos_token_id or any(string in text for string in stop_strings):
            break
    return str(tokenizer.decode(response, skip_special_tokens=True)).strip()


def ask(run: Run, capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    sample.main([str(run.folder), QUESTION, "--device=cpu", *options])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0].strip() for line in lines] == ["base", "trained"]
    return [line.partition(": ")[2] for line in lines]


def expected(run: Run, compose_config: Compose, **settings: Any) -> list[str]:
    base = compose_config(*SMALL).model
    tokenizer = models.load_tokenizer(base)
    policies = [models.load_policy(base, torch.device("cpu")) for _ in range(2)]
    policies[1].lm_head.weight.data *= 0.8
    return [answer(policy, tokenizer, **settings) for policy in policies]


def rewrite(run: Run, **changes: Any) -> None:
    """Change the recorded settings of ppo; None takes a key away."""
    start = json.loads(run.start_file.read_text(encoding="utf-8"))
    settings = start["config"]["ppo"] | changes
    start["config"]["ppo"] = {key: value for key, value in settings.items() if value is not None}
    start.pop("sha256", None)  # as earlier versions wrote it
    run.start_file.write_text(json.dumps(start), encoding="utf-8")


def test_both_answer_as_the_run_sampled(run: Run, capsys: pytest.CaptureFixture[str], compose_config: Compose) -> None:
    answers = [ask(run, capsys, f"--seed={seed}") for seed in range(2)]
    assert answers == [expected(run, compose_config, seed=seed) for seed in range(2)]
    # Each setting is to be seen in them.
    for change in ({"top_p": 1.0}, {"stop_strings": ()}, {"temperature": 1.0}):
        assert answers != [expected(run, compose_config, seed=seed, **change) for seed in range(2)]


def test_options_override_the_run(run: Run, capsys: pytest.CaptureFixture[str], compose_config: Compose) -> None:
    answers = ask(run, capsys, "--temperature=0.6", "--response-length=5")
    assert answers == expected(run, compose_config, temperature=0.6, length=5)


def test_a_record_that_lacks_newer_keys_and_has_older_ones(
    run: Run, capsys: pytest.CaptureFixture[str], compose_config: Compose
) -> None:
    rewrite(run, top_p=None, stop_strings=None, precision=None, dual_clip=None, no_longer_a_key=3)
    start = json.loads(run.start_file.read_text(encoding="utf-8"))
    del start["config"]["model"]["pypi_wheel"]
    start["config"]["model"]["no_longer_a_key"] = 3
    start.pop("sha256", None)  # as earlier versions wrote it
    run.start_file.write_text(json.dumps(start), encoding="utf-8")
    assert ask(run, capsys) == expected(run, compose_config, top_p=1.0, stop_strings=())


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "the config in its run.json has no model"),
        ({"model": None}, "the config in its run.json has no model"),
        ({"model": {}}, "missing mandatory value: path"),
        ({"model": {"path": None}}, "model in the config of its run.json: "),
        (None, "run.json is damaged"),
    ],
)
def test_a_record_whose_config_tells_nothing_is_refused_in_a_line(
    config: object, reason: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    write_object(run.start_file, {**(run.start() or {}), "config": config})
    line = refusal(run, capsys)
    assert line.startswith(f"error: run={run.folder}: ")
    assert reason in line


@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float32", None), ("auto", None)])
def test_the_precision_is_the_runs(
    precision: str,
    dtype: torch.dtype | None,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[torch.dtype | None] = []
    step = sampling._step

    def watched(*arguments: Any) -> Any:
        seen.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        return step(*arguments)

    monkeypatch.setattr(sampling, "_step", watched)
    monkeypatch.setattr(chat, "check_reader", lambda *arguments: None)  # which computes in the weights' precision
    # Compiling for the sake of one answer would take far longer than the answer.
    rewrite(run, precision=precision, static_decoding=True)
    monkeypatch.setattr(sampling, "compile_step", lambda _: pytest.fail("compiled"))
    ask(run, capsys, "--response-length=2")
    assert set(seen) == {dtype}


def refusal(run: Run, capsys: pytest.CaptureFixture[str], *options: str, question: str = QUESTION) -> str:
    """The line that a question is refused with."""
    with pytest.raises(SystemExit) as caught:
        sample.main([str(run.folder), question, *options])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_cannot_be_answered_is_one_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--response-length=0", "--temperature=0"):
        with pytest.raises(SystemExit) as caught:
            sample.main([str(run.folder), QUESTION, option])
        assert caught.value.code == 2
        assert (
            capsys.readouterr()
            .err.splitlines()[-1]
            .endswith("0: must be a whole number, 1 or more" if "length" in option else "must be a number above 0")
        )
    run.write_summary({"status": "complete"}, exported=["config.json"])
    (run.model / "config.json").write_text("{}", encoding="utf-8")
    damaged = f"error: run={run.folder}: model/config.json: damaged, its digest differs"
    assert refusal(run, capsys).startswith(damaged)
    lose(run.summary_file)  # and with it the digests, which earlier versions did not write
    line = refusal(run, capsys)
    assert line.startswith(f"error: model.path={run.model}: AutoModelForCausalLM cannot load it")


def test_a_base_policy_that_is_not_recorded_must_be_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads(run.start_file.read_text())["config"]
    lose(run.start_file)
    run.begin({**config, "model": {**config["model"], "path": "${oc.env:BASE}"}})
    line = f"error: run={run.folder}: its base policy, ${{oc.env:BASE}}, is not in the record; --base=FOLDER names"
    assert refusal(run, capsys).startswith(line)


@pytest.mark.parametrize("text", ["${oc.env:STOP}", "a ${oc.env:STOP}", "https://me:***@h"])
def test_a_stop_string_that_is_not_recorded_is_refused(run: Run, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads(run.start_file.read_text())["config"]
    lose(run.start_file)
    run.begin({**config, "ppo": {**config["ppo"], "stop_strings": ["***", text]}})
    with pytest.raises(SystemExit):
        sample.main([str(run.folder), QUESTION, "--device=cpu"])
    said = f"error: run={run.folder}: ppo.stop_strings holds {text}, whose value is not recorded\n"
    assert capsys.readouterr().err.endswith(said)


def save_base(folder: Path, tokenizer: PreTrainedTokenizerBase, **values: Any) -> str:
    """A base policy of other sizes than the run's, in a folder; the option that names it."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    AutoModelForCausalLM.from_config(LlamaConfig(**sizes | {"vocab_size": len(tokenizer)} | values)).save_pretrained(
        folder
    )
    return f"--base={folder}"


def test_both_policies_are_looked_at_as_a_run_looks_at_its_own(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], compose_config: Compose
) -> None:
    tokenizer: Any = models.load_tokenizer(compose_config(*SMALL).model)
    short = save_base(tmp_path / "short", tokenizer, vocab_size=len(tokenizer) - 1)
    assert f"model.path={tmp_path / 'short'}: its embedding must have a row for each id" in refusal(run, capsys, short)
    scaled = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    dynamic = save_base(tmp_path / "dynamic", tokenizer, rope_parameters=scaled, max_position_embeddings=50)
    assert len(tokenizer.apply_chat_template([{"role": "user", "content": QUESTION}], return_dict=False)) < 26
    sample.main([str(run.folder), QUESTION, dynamic])
    capsys.readouterr()
    told = refusal(run, capsys, dynamic, question="Why? " * 40)
    assert f"model.path={tmp_path / 'dynamic'}: its context is 50 tokens" in told
    assert "(a shorter question, or --response-length)" in told
    classifier = tmp_path / "classifier"
    save_base(classifier, tokenizer)
    (classifier / "config.json").write_text(
        json.dumps(
            json.loads((classifier / "config.json").read_text()) | {"architectures": ["XForTokenClassification"]}
        )
    )
    assert "must be a causal language model" in refusal(run, capsys, f"--base={classifier}")


def test_a_longer_question_is_tried_and_a_shorter_one_is_not(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    questions = iter([QUESTION, "Hi", QUESTION * 3, ""])
    monkeypatch.setattr(chat, "check_reader", lambda policy, sampler, prompt, *rest: tried.append(len(prompt)))
    monkeypatch.setattr("builtins.input", lambda _: next(questions))
    sample.main([str(run.folder), "--device=cpu", "--response-length=1"])
    assert len(tried) == 4  # two policies
    assert tried[0] == tried[1] < tried[2] == tried[3]
