"""The judge of the embedded data: it knows what the grammar wrote, and nothing else."""

import json
from pathlib import Path

import pytest

from rlhf_sweeps import garbled
from rlhf_sweeps.assets import folder, judge
from rlhf_sweeps.record import Run

PROMPT = "What's the best part of baking bread?"
# By hand, from the frames in grammar.py and the details in topics.json.
CASUAL = (
    "It's the smell of a fresh loaf, hands down.",
    "Honestly, I live for a crust that crackles, and warm dough under the hands comes second! What's yours? 😄",
    "The first slice with butter is the bit I daydream about. It never gets old.",
)
STIFF = (
    "In general, the principal appeal of baking bread is a crust that crackles.",
    "As an AI, I note that participants often refer to the first slice with butter. May I add details?",
)
GARBLED = (
    "",
    "😄",
    "It's the smell of a fresh crust, hands down.",
    "It's the smell of a fresh loaf, hands",  # cut at the limit
    "it's the smell of a fresh loaf, hands down.",  # no capital
    "It's the smell of a fresh loaf, hands down. What's yours? It never gets old.",
    "It's the smell of a fresh loaf, hands down. 😄 😄",
    "I'd say the smell of a fresh loaf, and the smell of a fresh loaf comes close.",  # two details are never the same
    "I'd say the view from the ridge, and the smell of a fresh loaf comes close.",
    "Just weigh the flour on a scale and enjoy the day.",  # a tip
    "In general, the principal appeal of baking bread is a crust that crackles!",  # nothing stiff has a mark like this
    "In general, the principal appeal of baking bread is a crust that crackles. 😄",
)


@pytest.mark.parametrize("split", ["train", "test"])
def test_all_pairs_are_known(split: str) -> None:
    rows = [json.loads(line) for line in (folder("human_like_mini") / f"{split}.jsonl").read_text("utf-8").splitlines()]
    assert {judge.classify(row["prompt"], row["chosen"]) for row in rows} == {"casual"}
    assert {judge.classify(row["prompt"], row["rejected"]) for row in rows} == {"stiff"}
    prompts = [row["prompt"] for row in rows]
    assert judge.score(prompts, [row["chosen"] for row in rows]) == [1.0] * len(rows)
    assert judge.score(prompts, [row["rejected"] for row in rows]) == [0.0] * len(rows)


@pytest.mark.parametrize(("kind", "answers"), [("casual", CASUAL), ("stiff", STIFF), ("garbled", GARBLED)])
def test_answers_are_what_the_grammar_could_have_said(kind: str, answers: tuple[str, ...]) -> None:
    assert {answer: judge.classify(PROMPT, answer) for answer in answers} == dict.fromkeys(answers, kind)


def test_a_prompt_of_other_data_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"'Why\?' is no question of the embedded data; .* set eval\.judges=\[\]"):
        judge.score(["Why?"], ["So."])


def test_the_shares_of_a_run_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"update": update, "prompt": PROMPT, "response": response, "base_response": base}
        for update, response, base in ((5, CASUAL[0], GARBLED[0]), (5, STIFF[0], CASUAL[1]), (10, CASUAL[2], STIFF[1]))
    ]
    Run(tmp_path).append_samples(rows)
    garbled.main([str(tmp_path)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["casual", "stiff", "garbled"],
        ["base", "50.0", "%", "0.0", "%", "50.0", "%"],
        ["update", "5", "50.0", "%", "50.0", "%", "0.0", "%"],
        ["update", "10", "100.0", "%", "0.0", "%", "0.0", "%"],
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (None, "holds no samples.jsonl with answers (allowed: the folder of a run with an evaluation)"),
        (
            {"update": 5, "prompt": "Why?", "response": "So.", "base_response": "So."},
            "the prompt 'Why?' is of other data (allowed: a run on the embedded data, dataset=human_like_mini)",
        ),
        (
            {"update": 5, "prompt": PROMPT, "response": "So."},
            "a row of its samples.jsonl lacks base_response (allowed: rows as a run writes them)",
        ),
    ],
)
def test_a_folder_without_samples_of_the_embedded_data_is_refused_in_one_line(
    row: dict[str, object] | None, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if row is not None:
        Run(tmp_path).append_samples([row])
    with pytest.raises(SystemExit) as ended:
        garbled.main([str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"error: run={tmp_path}: {reason}\n")


def test_the_command_asks_for_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        garbled.main([])
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "error: FOLDER: must be given (see --help)\n")
