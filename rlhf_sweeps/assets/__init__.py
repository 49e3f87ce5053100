"""The embedded policy, reward model and preference pairs, so that everything can be tried offline in a minute.

Those of the defaults are synthetic: `grammar` writes the text and `build` trains the two models on it. They show that
the code works and that PPO can learn; they say nothing about alignment. The pairs in `hh_helpful` are real.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = ("hh_helpful", "human_like_mini", "tiny_policy", "tiny_reward_model")


def folder(name: str) -> Path:
    """The folder of the embedded asset called `name`."""
    if name not in NAMES:
        raise ValueError(f"no embedded asset is called {name!r}; there are: {', '.join(NAMES)}")
    return FOLDER / name
