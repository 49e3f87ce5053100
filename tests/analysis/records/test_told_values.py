"""What runs were told to change stands for what their configs do not have, as those of a user's own trainer."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.records import write_sweep
from helpers.watched import change

from analysis.comparison.compare import compare_groups
from analysis.output.parts import Sentences
from analysis.reading.sources import read
from analysis.records.runs import RunRecord, Source
from analysis.results.results import Results
from analysis.views.compare import make_compare_tab


def told(*overrides: str, **config: object) -> RunRecord:
    return RunRecord("0", {}, config, overrides=overrides)


def test_a_value_is_the_configs_else_what_was_told() -> None:
    run = told("++ppo.lr=1e-3", "x=3", "y=4", "reward_model=vader", "z=null", y=5, z=None)
    assert [run.look_up(key) for key in ("ppo.lr", "x", "y", "reward_model", "z", "none")] == [
        0.001,
        3,
        5,
        "vader",
        None,
        None,
    ]
    assert isinstance(run.look_up("x"), int)
    assert (
        told("reward_model=vader", **{"reward_model.name": "vader[weight=1]"}).look_up("reward_model")
        == "vader[weight=1]"
    )


def swept(folder: Path, key: str, values: Sequence[str]) -> Source:
    """A sweep over a key that no run's config has."""
    sweep = write_sweep(folder, [{key: value} for value in values], heights=[1.0, 2.0])
    for number in (0, 1):
        change(sweep.trial(number) / "run.json", config={"ppo": {"kl_coef": 0.02}})
    return read(sweep.folder)


@pytest.mark.parametrize(
    ("key", "values"), [("reward_model", ("vader", "length")), ("ppo.stop_strings", ("[a]", "[b]"))]
)
def test_what_is_swept_is_compared_by_what_was_told(key: str, values: Sequence[str], tmp_path: Path) -> None:
    source = swept(tmp_path / "s", key, values)
    assert source.find_key(key.rpartition(".")[2]) == key
    assert {group.label for group in compare_groups(source, key).groups} == set(values)
    titles = [part.title for part in make_compare_tab(Results(source)) if isinstance(part, Sentences)]
    assert f"By {key}" in titles


def test_where_nothing_tells_there_is_nothing_to_compare(tmp_path: Path) -> None:
    source = swept(tmp_path / "s", "ppo.stop_strings", ("[a]", "[b]"))
    for number in (0, 1):
        (tmp_path / "s" / str(number) / ".hydra" / "overrides.yaml").write_text("[]", encoding="utf-8")
    assert source.find_key("ppo.stop_strings") == "ppo.stop_strings"
    assert make_compare_tab(Results(read(tmp_path / "s")))
