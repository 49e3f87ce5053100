"""Runs that answer other prompts, or are scored in another way, are not ranked together; the output says why."""

import json
from pathlib import Path

import pytest
from helpers.compared_runs import run
from helpers.records import write_sweep

from analysis.output.parts import Document, Sentences
from analysis.reading.sources import read
from analysis.records.runs import RunRecord, Source
from analysis.results.ranking import rank_source
from analysis.results.results import Results
from analysis.views.answers import make_answers
from analysis.views.compare import compare_view

ALIKE = {
    "dataset__path": "a.jsonl", "reward_model__name": "tiny", "reward_model__normalize": False,
    "ppo__response_length": 53, "eval__num_prompts": 128, "objective__kl_budget": 15.0,
    "eval__every": 5, "ppo__clip_range": 0.2,
}  # fmt: skip


def together(*runs: RunRecord) -> Source:
    return Source("together", "folder", list(runs))


def unlike(**changed: object) -> Source:
    """Two runs with each of two settings, and in the second pair keys that were changed."""
    first = [run(f"a{lr}", lr, ppo__lr=lr, **ALIKE) for lr in (1.0, 2.0)]
    return together(*first, *(run(f"b{lr}", 9 + lr, ppo__lr=lr, **{**ALIKE, **changed}) for lr in (1.0, 2.0)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dataset__path", "b.jsonl"), ("eval__num_prompts", 64), ("ppo__response_length", 20),
        ("reward_model__normalize", True), ("objective__kl_budget", 5.0),
    ],
)  # fmt: skip
def test_unlike_runs_are_ranked_apart(key: str, value: object) -> None:
    source = unlike(**{key: value})
    assert [each.key for each in source.unlike] == [key.replace("__", ".")]
    ranking = rank_source(source)
    assert ranking.best is None
    assert [[entry.name for entry in part.ranked] for _, part in ranking.apart] == [["a2.0", "a1.0"], ["b2.0", "b1.0"]]


def test_the_answer_names_keys_and_both_values() -> None:
    source = unlike(ppo__response_length=20)
    (_, (first, *_)), *_ = make_answers(source, rank_source(source), [], []).answers
    assert first == (
        "None overall, since the runs are unlike: ppo.response_length is 53 in a1.0 and a2.0, 20 in b1.0 and b2.0"
    )


def test_compare_ranks_each_part_and_its_json_names_the_keys() -> None:
    parts = compare_view(Results(unlike(dataset__path="b.jsonl")), "ppo.lr")
    (document,) = [part for part in parts if isinstance(part, Document)]
    content = json.loads(json.dumps(document.content, default=str))
    assert content["unlike"] == [
        {"key": "dataset.path", "values": {"a.jsonl": ["a1.0", "a2.0"], "b.jsonl": ["b1.0", "b2.0"]}}
    ]
    assert [[group["label"] for group in part["groups"]] for part in content["parts"]] == [["2", "1"], ["2", "1"]]
    text = "\n".join(str(line) for part in parts if isinstance(part, Sentences) for line in part.lines)
    assert "not ranked together: the runs are unlike: dataset.path is a.jsonl in a1.0 and a2.0, b.jsonl in" in text


def test_other_settings_seeds_and_unknown_values_separate_nothing() -> None:
    alike = unlike(ppo__clip_range=0.1, seed=3, eval__every=7)
    assert not alike.unlike
    assert rank_source(alike).ranked[0].name == "b2.0"
    without = {key: value for key, value in ALIKE.items() if key != "dataset__path"}
    assert not together(run("a", 1.0, **ALIKE), run("b", 2.0, **without)).unlike
    referring = {**ALIKE, "ppo__response_length": "${dataset.suggested_response_length}"}
    assert not together(run("a", 1.0, **ALIKE), run("b", 2.0, **referring)).unlike


def test_a_sweep_ranks_what_it_swept(tmp_path: Path) -> None:
    write_sweep(tmp_path, [{"ppo.response_length": length} for length in (20, 40)], updates=10, heights=[1, 2])
    source = read(tmp_path)
    assert not source.unlike
    best = rank_source(source).best
    assert best is not None
    assert best.name == "1"


def test_different_reward_models_are_named_but_left_to_judges() -> None:
    source = together(run("a", 1.0, **ALIKE), run("b", 2.0, **{**ALIKE, "reward_model__name": "length"}))
    assert [each.text for each in source.unlike] == ["reward_model.name is tiny in a, length in b"]
    assert len(source.apart) == 1
