"""Secrets that tests know, a reward model that needs them, and where they have leaked to."""

import re
from pathlib import Path

import pytest

REWARD_MODEL = """
class Score:
    def __init__(self, **arguments):
        self.arguments = arguments
        assert arguments["api_key"] == "literal-" + "one" and arguments["pin"] == 4711 * 1000001, "other secrets"
        assert arguments["url"] == "https://me:literal-" + "two-variable-" + "six@host/?token=literal-" + "three"
        assert arguments["headers"] == {"Authorization": "Bearer variable-" + "one"}
        assert arguments["note"] == "before variable-" + "two" and arguments["fallback"] == "literal-" + "four"

    def __call__(self, prompts, responses):
        if self.arguments.get("fails"):
            raise ValueError(f"401 for {self.arguments}")
        return [float(len(response)) for response in responses]
"""
CHOICE = """
kind: callable
name: mine
function: my_reward.Score
arguments:
  api_key: literal-one
  url: https://me:literal-two-${oc.env:MY_PART}@host/?token=literal-three
  headers: {Authorization: "Bearer ${oc.env:MY_TOKEN}"}
  note: before ${oc.env:MY_NOTE}
  pin: ${oc.decode:${oc.env:MY_PIN}}
  fallback: ${oc.env:GONE_TOKEN,literal-four}
timeout: 300
normalize: null
"""
# In code they are put together, so that tracebacks, which quote it, do not hold them.
SECRET = re.compile(rb"literal-(one|two|three|four|five|six)|variable-(one|two|six)|4711004711")
KEYED = "def score(prompts, responses, api_key): return [0.0] * len(responses)\n"
FAST = ("ppo.batch_size=8", "ppo.total_episodes=8", "eval.num_prompts=2", "ppo.response_length=4", "device=cpu",
        "eval.num_confirming=2")  # fmt: skip


@pytest.fixture
def own_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's with a reward model whose secrets stand in its config, and beside it."""
    (tmp_path / "my_reward.py").write_text(REWARD_MODEL)
    (tmp_path / "own" / "reward_model").mkdir(parents=True)
    (tmp_path / "own" / "reward_model" / "mine.yaml").write_text(CHOICE)
    variables = {"MY_TOKEN": "variable-one", "MY_NOTE": "variable-two", "MY_PIN": "4711004711", "MY_LR": "0.00012345"}
    variables |= {"MY_PART": "variable-six"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def leaks(folder: Path) -> dict[str, list[bytes]]:
    """The files with a secret, and which; the user's own two apart."""
    found = {}
    for path in folder.rglob("*"):
        is_own = path.name in ("my_reward.py", "mine.yaml") or path.suffix == ".pyc"
        secrets = [match[0] for match in SECRET.finditer(path.read_bytes())] if path.is_file() and not is_own else []
        if secrets:
            found[path.relative_to(folder).as_posix()] = secrets
    return found
