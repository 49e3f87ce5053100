"""Python functions as reward models: how they are found, and what they are given."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from helpers.called_functions import HANG, exchanges, reward_model

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.functions import check_rule
from rlhf_sweeps.config.reward_models import CallableConfig
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.callables import load_callable

MODULE = """
import sys

calls = []
made = []
number = 7

def length(prompts, responses):
    calls.append((prompts, responses))
    return [len(response) for response in responses]

def weighed(prompts, responses, weight, *, bonus=0.0):
    return [weight * len(response) + bonus for response in responses]

def one_text(text):
    return 0.0

class Counter:
    def __init__(self, word):
        made.append(word)
        self.word = word

    def __call__(self, prompts, responses):
        return [response.count(self.word) for response in responses]

class Exits:
    def __init__(self, code=0):
        sys.exit(code)

    def __call__(self, prompts, responses):
        return [0.0] * len(responses)

class Silent:
    pass

async def later(prompts, responses):
    return [0.0] * len(responses)

class Later:
    async def __call__(self, prompts, responses):
        return [0.0] * len(responses)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with my_rewards.py, which is not on sys.path."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    path = tmp_path / "my_rewards.py"
    path.write_text(MODULE)
    yield path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


def config(function: str, **arguments: Any) -> CallableConfig:
    name = function.rpartition(".")[2]
    return CallableConfig("callable", name, None, function, arguments, timeout=HANG)


# What it is given.


def test_a_function_of_the_current_folder_gets_the_texts_once(module: Path) -> None:
    found = load_callable(config("my_rewards.length"), "reward_model")
    prompts = [
        [{"role": "user", "content": "Hi?"}],
        [
            {"role": "user", "content": "Hi?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Well?"},
        ],
    ]
    scores = found.score(Exchanges(prompts, ("a", "abc")))
    assert (scores.tolist(), scores.dtype) == ([1.0, 3.0], torch.float32)
    texts = ["Hi?", "user: Hi?\nassistant: Yes.\nuser: Well?"]
    assert sys.modules["my_rewards"].calls == [(texts, ["a", "abc"])]


def test_arguments_go_to_every_call_of_a_function(module: Path) -> None:
    found = load_callable(config("my_rewards.weighed", weight=2, bonus=0.5), "reward_model")
    assert found.score(exchanges("a", "abc")).tolist() == [2.5, 6.5]


def test_a_class_is_made_once_with_the_arguments(module: Path) -> None:
    found = load_callable(config("my_rewards.Counter", word="ha"), "reward_model")
    assert found.score(exchanges("haha", "no")).tolist() == [2.0, 0.0]
    assert found.score(exchanges("ha")).tolist() == [1.0]
    assert sys.modules["my_rewards"].made == ["ha"]


def test_a_module_in_a_package_is_found(module: Path) -> None:
    package = module.parent / "my_package"
    package.mkdir()
    (package / "scores.py").write_text("def zero(prompts, responses):\n    return [0] * len(responses)\n")
    assert load_callable(config("my_package.scores.zero"), "reward_model").score(exchanges("a")).tolist() == [0.0]


def test_the_function_cannot_change_what_others_score() -> None:
    given = exchanges("a", "b")

    def spoil(prompts: list[str], responses: list[str]) -> list[float]:
        prompts.clear()
        responses.reverse()
        return [1.0, 2.0]

    assert reward_model(spoil).score(given).tolist() == [1.0, 2.0]
    assert (len(given.prompts), given.responses) == (2, ("a", "b"))


# What cannot be loaded.


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("my_reward.length", {}, "there is no module my_reward, neither installed nor in {here}"),
        ("my_rewards.deeper.length", {}, "there is no module my_rewards.deeper, neither installed nor in {here}"),
        ("my_rewards.lenght", {}, "my_rewards has no lenght; did you mean length?"),
        ("my_rewards.qqq", {}, "my_rewards has no qqq"),
        ("my_rewards.number", {}, "must be a function or a class, is a int"),
        ("my_rewards.Silent", {}, "must be a function or a class with __call__, is a class without"),
        ("my_rewards.later", {}, "must be a plain function or class, is async"),
        ("my_rewards.Later", {}, "must be a plain function or class, is async"),
        ("my_rewards.one_text", {}, "cannot be called with (prompts, responses): too many positional arguments"),
        (
            "my_rewards.weighed",
            {"wait": 1},
            "cannot be called with (prompts, responses, wait=...): missing a required argument: 'weight'",
        ),
        (".length", {}, " cannot be imported (ValueError: Empty module name)"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(
    module: Path, function: str, arguments: dict[str, Any], message: str
) -> None:
    line = f"eval.judges[1].function={function}: {message.format(here=module.parent)}"
    for refuse in (check_rule, load_callable):
        with pytest.raises(ConfigError, match=f"^{re.escape(line)}$"):
            refuse(config(function, **arguments), "eval.judges[1]")


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import my_lost", "ModuleNotFoundError: No module named 'my_lost'"),
        ("raise ValueError('no\\nkey')", "ValueError: no key"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise ValueError('x' * 1000)", "ValueError: " + "x" * 300 + "..."),
    ],
)
def test_a_module_that_fails_is_refused_with_its_error(module: Path, code: str, cause: str) -> None:
    module.with_name("my_broken.py").write_text(code)
    line = f"reward_model.function=my_broken.f: my_broken cannot be imported ({cause})"
    with pytest.raises(ConfigError, match=f"^{re.escape(line)}$"):
        check_rule(config("my_broken.f"), "reward_model")


def test_a_class_that_cannot_be_made_is_refused_with_its_arguments(module: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"^reward_model.arguments={'wrod': 1}: my_rewards.Counter: cannot be called with \(wrod=...\): missing",
    ):
        check_rule(config("my_rewards.Counter", wrod=1), "reward_model")
    with pytest.raises(
        ConfigError,
        match=r"^reward_model.arguments={'code': 2}: my_rewards.Exits cannot be made with these \(SystemExit: 2\)$",
    ):
        load_callable(config("my_rewards.Exits", code=2), "reward_model")


def test_the_check_loads_no_torch(module: Path) -> None:
    code = (
        "import sys\nfrom rlhf_sweeps.config.functions import check_rule\n"
        "from rlhf_sweeps.config.reward_models import CallableConfig\n"
        "check_rule(CallableConfig('callable', 'n', None, 'my_rewards.length', {}, 1.0), 'reward_model')\n"
        "assert 'my_rewards' in sys.modules and 'torch' not in sys.modules"
    )
    # Without the current folder on the path, as a console script has it.
    command = [sys.executable, "-P", "-c", code]
    subprocess.run(command, cwd=module.parent, env={"PYTHONPATH": str(ROOT)}, check=True, timeout=60)
