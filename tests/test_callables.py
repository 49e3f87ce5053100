"""Python functions as reward models: what they are given, what they may return, how each of their failures is told."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT

from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.reward_model_config import CallableConfig
from rlhf_sweeps.reward_models import RewardModelError
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.callables import CallableRewardModel, load_callable
from rlhf_sweeps.reward_models.checks import check_rule
from rlhf_sweeps.reward_models.time_limit import TimeLimit, TimeLimitError

HANG = 0.2  # seconds
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


def exchanges(*responses: str, prompt: str = "Hi?") -> Exchanges:
    return Exchanges([[{"role": "user", "content": prompt}]] * len(responses), responses)


def reward_model(function: Callable[[list[str], list[str]], Any]) -> CallableRewardModel:
    return CallableRewardModel(function, HANG, "reward_model.function=my.function")


def failure(function: Callable[[list[str], list[str]], Any], *responses: str) -> RewardModelError:
    with pytest.raises(RewardModelError) as caught:
        reward_model(function).score(exchanges(*responses))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("reward_model.function=my.function: ")
    return caught.value


def told(function: Callable[[list[str], list[str]], Any], *responses: str) -> str:
    return str(failure(function, *responses)).removeprefix("reward_model.function=my.function: ")


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
        "import sys\nfrom rlhf_sweeps.reward_models.checks import check_rule\n"
        "from rlhf_sweeps.reward_model_config import CallableConfig\n"
        "check_rule(CallableConfig('callable', 'n', None, 'my_rewards.length', {}, 1.0), 'reward_model')\n"
        "assert 'my_rewards' in sys.modules and 'torch' not in sys.modules"
    )
    # Without the current folder on the path, as a console script has it.
    command = [sys.executable, "-P", "-c", code]
    subprocess.run(command, cwd=module.parent, env={"PYTHONPATH": str(ROOT)}, check=True, timeout=60)


# What it may return.


@pytest.mark.parametrize(
    "returned",
    [
        [1, 2.5],
        (1, 2.5),
        np.array([1, 2.5]),
        np.array([1, 2.5], dtype=np.float16),
        [np.float32(1), np.float64(2.5)],
        [np.int64(1), np.array(2.5)],
        torch.tensor([1, 2.5], dtype=torch.bfloat16),
        torch.tensor([1, 2.5], requires_grad=True),
        [torch.tensor(1), torch.tensor(2.5, requires_grad=True)],
        iter([1, 2.5]),
        (score for score in (1, 2.5)),
        {"a": 1, "b": 2.5}.values(),
    ],
)
def test_numbers_of_any_kind(returned: Any) -> None:
    scores = reward_model(lambda prompts, responses: returned).score(exchanges("a", "b"))
    assert (scores.tolist(), scores.dtype, scores.requires_grad) == ([1.0, 2.5], torch.float32, False)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0, 2.0, 3.0], "returned 3 and not 2 numbers for 2 responses; the first: prompt 'Hi?', response 'a'"),
        ([1.0], "returned 1 and not 2 numbers for 2 responses; the first: prompt 'Hi?', response 'a'"),
        ((0.0 for _ in iter(int, 1)), "returned 3 and not 2 numbers for 2 responses; "),
        (None, "returned a NoneType and not one number each for 2 responses; "),
        (0.5, "returned a float and not one number each for 2 responses; "),
        (np.float32(0.5), "returned a float and not one number each for 2 responses; "),
        ("12", "returned a str and not one number each for 2 responses; "),
        ({0: 1.0, 1: 2.0}, "returned a dict and not one number each for 2 responses; "),
        ({1.0, 2.0}, "returned a set and not one number each for 2 responses; "),
        ([1.0, float("nan")], "returned nan, which is not finite in float32, for prompt 'Hi?', response 'b'"),
        (
            torch.tensor([1.0, -torch.inf]),
            "returned -inf, which is not finite in float32, for prompt 'Hi?', response 'b'",
        ),
        ([1e39, 1.0], "returned 1e+39, which is not finite in float32, for prompt 'Hi?', response 'a'"),
        (
            [10**400, 1.0],
            "returned 1" + "0" * 99 + "..., which is not finite in float32, for prompt 'Hi?', response 'a'",
        ),
        ([1.0, True], "returned True, a bool and not a number, for prompt 'Hi?', response 'b'"),
        (np.array([False, True]), "returned False, a bool and not a number, for prompt 'Hi?', response 'a'"),
        ([1.0, "2"], "returned '2', a str and not a number, for prompt 'Hi?', response 'b'"),
        (
            [1.0, np.eye(2)],
            "returned array([[1., 0.], [0., 1.]]), a ndarray and not a number, for prompt 'Hi?', response 'b'",
        ),
        ([1.0, None], "returned None, a NoneType and not a number, for prompt 'Hi?', response 'b'"),
        ([1.0, 2j], "returned 2j, a complex and not a number, for prompt 'Hi?', response 'b'"),
        (np.array([[1.0], [2.0]]), "returned [1.0], a list and not a number, for prompt 'Hi?', response 'a'"),
    ],
)
def test_anything_else_is_refused_with_the_text(returned: Any, message: str) -> None:
    found = told(lambda prompts, responses: returned, "a", "b")
    assert found == message or (message.endswith("; ") and found == message + "the first: prompt 'Hi?', response 'a'")


# What goes wrong in it.


def test_the_one_exchange_that_it_raises_for_is_named() -> None:
    seen: list[list[str]] = []

    def picky(prompts: list[str], responses: list[str]) -> list[float]:
        seen.append(responses)
        return [1 / (len(response) - 2) for response in responses]

    error = failure(picky, "a", "bb", "cc", "d")
    assert str(error).endswith(": raised ZeroDivisionError: division by zero for prompt 'Hi?', response 'bb'")
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert seen == [["a", "bb", "cc", "d"], ["a"], ["bb"]]
    assert failure(picky, "bb").__cause__ is not None
    assert seen[3:] == [["bb"]]  # nothing to find out


def test_a_failure_of_the_batch_alone_tells_its_first_and_its_size() -> None:
    def no_batches(prompts: list[str], responses: list[str]) -> list[float]:
        if len(responses) > 1:
            raise RuntimeError
        return [0.0]

    assert told(no_batches, "a", "b") == ("raised RuntimeError for 2 responses; the first: prompt 'Hi?', response 'a'")


def test_a_generator_that_raises_and_an_exit_are_failures() -> None:
    def generate(prompts: list[str], responses: list[str]) -> Iterator[float]:
        for response in responses:
            yield float(response)

    def leave(prompts: list[str], responses: list[str]) -> list[float]:
        sys.exit(4)

    assert told(generate, "1", "x").startswith("raised ValueError: could not convert string to float: 'x' for prompt")
    assert told(generate, "1", "x").endswith("response 'x'")
    error = failure(leave, "a")
    assert str(error).endswith("raised SystemExit: 4 for prompt 'Hi?', response 'a'")
    assert isinstance(error.__cause__, SystemExit)


def test_ctrl_c_passes() -> None:
    def interrupted(prompts: list[str], responses: list[str]) -> list[float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reward_model(interrupted).score(exchanges("a"))


def test_long_texts_are_cut() -> None:
    with pytest.raises(RewardModelError) as caught:
        reward_model(lambda prompts, responses: []).score(exchanges("r" * 5000, prompt="p" * 5000))
    assert str(caught.value).endswith(f"prompt '{'p' * 200}...', response '{'r' * 200}...'")


# What does not end.


def sleep() -> None:
    time.sleep(30)


def spin() -> None:
    while True:
        pass


def catastrophic() -> None:
    re.search(r"(a+)+$", "a" * 60 + "b")


def guarded() -> None:
    while True:
        try:
            time.sleep(30)
        except Exception:
            continue


def stubborn() -> None:
    while True:
        try:
            time.sleep(30)
        except:  # noqa: E722
            continue


def doubly_stubborn() -> None:
    while True:
        try:
            while True:
                try:
                    spin()
                except:  # noqa: E722
                    continue
        except:  # noqa: E722
            continue


def late() -> None:
    try:
        time.sleep(30)
    except BaseException:
        return


HANGS = [sleep, spin, catastrophic, guarded, stubborn, doubly_stubborn, late]


@pytest.mark.parametrize("hang", HANGS)
def test_what_hangs_is_ended_and_named(hang: Callable[[], None]) -> None:
    def hanging(prompts: list[str], responses: list[str]) -> list[float]:
        hang()
        return [0.0] * len(responses)

    start = time.monotonic()
    error = failure(hanging, "a", "b")
    assert str(error).endswith(": took longer than 0.2 s for 2 responses; the first: prompt 'Hi?', response 'a'")
    assert time.monotonic() - start < 4  # the alarm comes again where it was swallowed; to wait would take 30 s
    assert isinstance(error.__cause__, TimeLimitError)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_generator_hangs_in_time_too() -> None:
    def hanging(prompts: list[str], responses: list[str]) -> Iterator[float]:
        sleep()
        yield 0.0

    assert told(hanging, "a") == "took longer than 0.2 s for prompt 'Hi?', response 'a'"


def test_the_search_for_the_one_at_fault_ends_in_time() -> None:
    def hangs_alone(prompts: list[str], responses: list[str]) -> list[float]:
        if len(responses) == 1:
            sleep()
        raise ValueError("boom")

    start = time.monotonic()
    assert told(hangs_alone, "a", "b").startswith("raised ValueError: boom for 2 responses; the first: prompt")
    assert time.monotonic() - start < 4


# The limit itself.


def test_handler_and_timer_are_given_back() -> None:
    rung: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 10.0, 5.0)
        with TimeLimit(20.0):
            time.sleep(0.05)
        delay, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 9.0 < delay <= 9.95
        assert interval == 5.0
        # One that ran out meanwhile rings afterwards.
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with TimeLimit(20.0):
            time.sleep(0.05)
            assert rung == []
        time.sleep(0.05)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def interrupted_late() -> None:
    try:
        spin()
    finally:
        raise KeyboardInterrupt


def test_a_limit_disturbs_no_other_handler() -> None:
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), TimeLimit(HANG):
        raise KeyError
    with pytest.raises(TimeLimitError), TimeLimit(HANG):
        spin()
    with pytest.raises(KeyboardInterrupt), TimeLimit(HANG):
        interrupted_late()
    after = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert after == before


def test_an_alarm_at_the_first_lines_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    for seconds in range(1, 200):
        with pytest.raises(TimeLimitError), TimeLimit(seconds * 1e-6):
            spin()
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_other_threads_have_no_limit() -> None:
    found: list[float] = []

    def patient(prompts: list[str], responses: list[str]) -> list[float]:
        time.sleep(2 * HANG)
        return [1.0]

    thread = threading.Thread(target=lambda: found.extend(reward_model(patient).score(exchanges("a")).tolist()))
    thread.start()
    thread.join()
    assert found == [1.0]
