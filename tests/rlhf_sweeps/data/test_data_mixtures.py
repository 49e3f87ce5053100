"""Several data sets as one: shares by hand, no prompt on both sides, counts that name each source."""

from collections import Counter
from pathlib import Path

import pytest
from helpers.data_files import dataset, pair, user, write_lines

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data import Counts, SourceCounts, describe_counts, load_pairs, load_prompts
from rlhf_sweeps.data.mixtures import interleave


def source(folder: Path, name: str, train: int, held_out: int, weight: float) -> DatasetConfig:
    """Prompts like `a3`, the last few of them held out."""
    texts = [f"{name}{number}" for number in range(train + held_out)]
    path = write_lines(folder / f"{name}.jsonl", [pair(text) for text in texts[:train]])
    eval_path = write_lines(folder / f"{name}_eval.jsonl", [pair(text) for text in texts[train:]])
    return dataset(path, name=name, eval_path=str(eval_path), weight=weight)


def sources_of(prompts: list[list[dict[str, str]]]) -> str:
    return "".join(messages[0]["content"][0] for messages in prompts)


def test_shares_by_hand(tmp_path: Path) -> None:
    # b is used once and is a quarter, so that 36 of a make the whole: ten three times and the first six once more.
    mixture = dataset(None, sources=[source(tmp_path, "a", 10, 3, 3.0), source(tmp_path, "b", 12, 4, 1.0)])
    prompts = load_prompts(mixture)
    found = Counter(messages[0]["content"] for messages in prompts.train)
    assert found == {
        **{f"a{number}": 4 for number in range(6)},
        **{f"a{number}": 3 for number in range(6, 10)},
        **{f"b{number}": 1 for number in range(12)},
    }
    # The k-th prompt of a is at k / 3, of b at k: three to one from the start, and the first of each first.
    assert sources_of(prompts.train) == "abaa" * 1 + "abaa" * 11
    assert sources_of(prompts.held_out) == "abaabbb"
    assert prompts.counts == Counts(num_rows=29)
    assert prompts.sources == (SourceCounts("a", 36, 10, 3), SourceCounts("b", 12, 12, 4))
    assert describe_counts(prompts) == (
        "prompts: 48 to train on, 7 held out, of 29 rows; sources: a 36 (10 distinct) + 3, b 12 + 4"
    )


def test_pairs_are_mixed_likewise(tmp_path: Path) -> None:
    sources = [source(tmp_path, "a", 2, 1, 1.0), source(tmp_path, "b", 8, 2, 2.0)]
    pairs = load_pairs(dataset(None, sources=sources))
    assert sources_of([found.prompt for found in pairs.train]) == "abb" * 4
    assert sources_of([found.prompt for found in pairs.held_out]) == "abb"


def test_any_beginning_keeps_the_shares() -> None:
    parts = [["a"] * 50, ["b"] * 150, ["c"] * 300]
    mixed = interleave(parts, [0.1, 0.3, 0.6])
    assert sorted(mixed) == sorted("".join("".join(part) for part in parts))
    for length in range(3, 501):
        shares = Counter(mixed[:length])
        for name, share in (("a", 0.1), ("b", 0.3), ("c", 0.6)):
            assert abs(shares[name] - share * length) < 2


def test_a_weight_for_one_alone_uses_every_source_whole(tmp_path: Path) -> None:
    sources = [source(tmp_path, "a", 3, 1, 0.001), source(tmp_path, "b", 5, 1, 0.001)]
    assert Counter(sources_of(load_prompts(dataset(None, sources=sources)).train)) == {"a": 5, "b": 5}


def test_no_prompt_is_on_both_sides_or_from_two_sources(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "a.jsonl", [pair("x"), pair("y"), pair("only a")])
    second = write_lines(tmp_path / "b.jsonl", [pair("y "), pair("only b")])
    held_out = write_lines(tmp_path / "b_eval.jsonl", [pair(" x"), pair("z")])
    other = write_lines(tmp_path / "a_eval.jsonl", [pair("z"), pair("w")])
    sources = [
        dataset(first, name="a", eval_path=str(other)),
        dataset(second, name="b", eval_path=str(held_out)),
    ]
    for with_pairs in (False, True):
        if with_pairs:
            pairs = load_pairs(dataset(None, sources=sources))
            train, held = ([found.prompt for found in part] for part in (pairs.train, pairs.held_out))
            counts = pairs.counts
        else:
            prompts = load_prompts(dataset(None, sources=sources))
            train, held, counts = prompts.train, prompts.held_out, prompts.counts
        # x is held out by b; y and z were in a before; b is left with one prompt, which makes up for a's two.
        assert Counter(found[0]["content"] for found in train) == {"y": 1, "only a": 1, "only b": 2}
        assert sorted(found[0]["content"] for found in held) == [" x", "w", "z"]
        assert counts == Counts(num_rows=9, num_duplicates=2, num_shared=1)


def test_contradictions_between_sources_are_counted_once(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "a.jsonl", [pair("x", "1", "2"), pair("y")])
    second = write_lines(tmp_path / "b.jsonl", [pair("x", "2", "1"), pair("z")])
    held_out = write_lines(tmp_path / "eval.jsonl", [pair("w")])
    sources = [dataset(path, eval_path=str(held_out)) for path in (first, second)]
    pairs = load_pairs(dataset(None, sources=sources))
    assert (pairs.counts.num_contradictions, len(pairs.train)) == (1, 4)


def test_errors_name_the_source(tmp_path: Path) -> None:
    good = source(tmp_path, "a", 10, 1, 1.0)
    bad = write_lines(tmp_path / "bad.jsonl", [{"prompt": "x"}, {"prompt": 3}])
    with pytest.raises(ConfigError, match=r"^dataset.sources\[1\].path=.*bad.jsonl, line 2: a prompt must be"):
        load_prompts(dataset(None, sources=[good, dataset(bad)]))
    with pytest.raises(
        ConfigError, match=r"^reward_model.pairs.sources\[0\].chosen_column=chosen: .*line 1 has no such"
    ):
        load_pairs(dataset(None, sources=[dataset(bad), good]), "reward_model.pairs")
    with pytest.raises(ConfigError, match=r"^dataset.sources\[1\].path=.*a.jsonl: no prompts are left to train on"):
        load_prompts(dataset(None, sources=[good, good]))
    with pytest.raises(
        ConfigError, match=r"^dataset.sources\[1\].weight=1e\+09: would use each of its 5 examples 2000000000 times"
    ):
        load_prompts(dataset(None, sources=[good, source(tmp_path, "b", 5, 1, 1e9)]))


def test_a_source_alone_is_that_source(tmp_path: Path) -> None:
    alone = source(tmp_path, "a", 10, 3, 7.0)
    mixed, plain = load_prompts(dataset(None, sources=[alone])), load_prompts(alone)
    assert (mixed.train, mixed.held_out) == (plain.train, plain.held_out)
    assert [user("a0")] == mixed.train[0]
