"""Rules as reward models: scores by hand, VADER's by its authors' table, and a pattern that is too slow."""

import importlib.util
import inspect
import math
import re
import subprocess
import sys
import time
from typing import Any

import pytest
import torch
from conftest import ROOT, Compose

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.functions import check_rule
from rlhf_sweeps.config.reward_models import (
    KINDS,
    LengthConfig,
    PatternConfig,
    RegexConfig,
    RewardModelConfig,
    VaderConfig,
)
from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.reward_models import load, rules
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.rules import load_rule

HAS_VADER = importlib.util.find_spec("vaderSentiment") is not None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_branch_where_it_is_loaded(kind: str) -> None:
    sources = [inspect.getsource(module) for module in (load, rules)]
    assert any(f"isinstance(config, {KINDS[kind].__name__})" in source for source in sources)


def scores(config: RewardModelConfig, *responses: str) -> list[float]:
    prompts = [[{"role": "user", "content": "Why? Why? Why?"}]] * len(responses)
    found = load_rule(config, "reward_model").score(Exchanges(prompts, responses))
    assert (found.dtype, found.device.type, found.shape) == (torch.float32, "cpu", (len(responses),))
    return found.tolist()


def length(unit: str, target: float | None, weight: float) -> LengthConfig:
    return LengthConfig("length", "length", None, unit, target, weight)


def regex(max_matches: int | None = None, timeout: float = 10.0, **patterns: float) -> RegexConfig:
    entries = [PatternConfig(pattern, weight) for pattern, weight in patterns.items()]
    return RegexConfig("regex", "regex", None, entries, max_matches, timeout)


def test_length_by_hand() -> None:
    texts = ("", "one", "one two\n three", " \U0001f600 ")
    assert scores(length("words", None, 0.5), *texts) == [0.0, 0.5, 1.5, 0.5]
    assert scores(length("characters", None, 2), *texts) == [0.0, 6.0, 28.0, 6.0]
    assert scores(length("words", None, -1), *texts) == [0.0, -1.0, -3.0, -1.0]


def test_nearness_to_a_target_by_hand() -> None:
    # 0, 1 and 3 words: 2, 1 and 1 from the target.
    assert scores(length("words", 2, 0.25), "", "one", "one two three") == [-0.5, -0.25, -0.25]
    # Two and a half characters is between.
    assert scores(length("characters", 2.5, 1), "ab", "abc", "abcde") == [-0.5, -0.5, -2.5]
    # 0 is a target too: the shorter, the better.
    assert scores(length("words", 0, 1), "one", "one two") == [-1.0, -2.0]


def test_patterns_by_hand() -> None:
    config = regex(**{"[?]": 1.0, "(?i)as an ai": -5.0, "aa": 0.25})
    texts = ("What? Why?", "As an AI, as an AI?", "aaaaa", "", "none\n?")
    # "aaaaa" holds "aa" twice without overlap.
    assert scores(config, *texts) == [2.0, -9.0, 0.5, 0.0, 1.0]


def test_matches_of_each_pattern_are_limited() -> None:
    config = regex(max_matches=2, **{"[?]": 1.0, "!": -0.5})
    assert scores(config, "?", "???", "!!!!", "????!!!!") == [1.0, 2.0, -1.0, 1.0]


def test_a_pattern_that_is_too_slow_is_named_with_the_text() -> None:
    patterns = {"b": 1.0, "(a+)+$": 1.0}
    slow = "a" * 250 + "b"
    start = time.monotonic()
    with pytest.raises(RewardModelError) as caught:
        scores(regex(timeout=0.2, **patterns), "b", slow, "b")
    assert time.monotonic() - start < 2
    assert str(caught.value) == (
        "reward_model.patterns[1].pattern=(a+)+$: took longer than 0.2 s, which ended at "
        f"prompt 'Why? Why? Why?', response '{'a' * 200}...'"
    )
    # The same model can be used again.
    assert scores(regex(timeout=0.2, **patterns), "b", "aab") == [1.0, 1.0]


@pytest.mark.skipif(not HAS_VADER, reason="needs vaderSentiment")
def test_vader_gives_what_its_authors_print() -> None:
    # https://github.com/cjhutto/vaderSentiment#code-examples
    table = {
        "VADER is smart, handsome, and funny.": 0.8316,
        "VADER is VERY SMART, handsome, and FUNNY!!!": 0.9342,
        "VADER is not smart, handsome, nor funny.": -0.7424,
        "The book was only kind of good.": 0.3832,
        "Today SUX!": -0.5461,
        "": 0.0,
    }
    assert scores(VaderConfig("vader", "vader", None), *table) == pytest.approx(list(table.values()), abs=5e-5)


@pytest.mark.skipif(not HAS_VADER, reason="needs vaderSentiment")
def test_a_vader_score_by_hand() -> None:
    # The lexicon gives "good" 1.9; compound is s / sqrt(s^2 + 15).
    expected = 1.9 / math.sqrt(1.9**2 + 15)
    assert scores(VaderConfig("vader", "vader", None), "good") == pytest.approx([expected], abs=5e-5)


def test_without_vader_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vaderSentiment", None)
    line = "reward_model.kind=vader: needs vaderSentiment, the extra `vader` (python -m pip install vaderSentiment)"
    for refuse in (check_rule, load_rule):
        with pytest.raises(ConfigError, match=f"^{re.escape(line)}$"):
            refuse(VaderConfig("vader", "vader", None), "reward_model")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["reward_model=length"], 0.3),
        (["reward_model=length", "reward_model.target=5"], -0.2),
        (["reward_model=regex", 'reward_model.patterns=[{pattern: "[?]", weight: 1}]'], 1.0),
    ],
)
def test_the_choices_of_the_command_line(compose_config: Compose, overrides: list[str], expected: float) -> None:
    config = compose_config(*overrides).reward_model
    check_rule(config, "reward_model")
    assert scores(config, "Why not now?") == pytest.approx([expected])


def test_other_kinds_are_not_rules(compose_config: Compose) -> None:
    config = compose_config("reward_model=tiny").reward_model
    check_rule(config, "reward_model")
    with pytest.raises(TypeError, match=r"^reward_model\.kind=classifier: is no rule$"):
        load_rule(config, "reward_model")


def test_checks_load_neither_torch_nor_vader() -> None:
    code = (
        "import sys\nfrom rlhf_sweeps.config.functions import check_rule\n"
        "from rlhf_sweeps.config.reward_models import LengthConfig\n"
        "check_rule(LengthConfig('length', 'length', None, 'words', None, 1.0), 'reward_model')\n"
        "assert not {'torch', 'vaderSentiment'} & set(sys.modules)"
    )
    environment: dict[str, Any] = {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
