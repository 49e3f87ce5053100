"""`sample` on a sweep, on several runs side by side, and on held-out prompts."""

import json
import shutil
from pathlib import Path

import pytest
from test_sample import QUESTION, ask
from test_sample import run as run

from rlhf_sweeps import chat, sample
from rlhf_sweeps.record import Run, Sweep


def record_sweep(folder: Path, run: Run, best: int | None) -> None:
    """A sweep of two trials; the second one is the run."""
    Sweep(folder).write_start({"id": "a", "seeds": [0]})
    Sweep(folder).write_results({"name": "optuna", "best_trial": best})
    shutil.copytree(run.folder, folder / "1")


def test_of_a_sweep_the_best_run_answers(
    run: Run, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = ask(run, capsys)
    folder = tmp_path_factory.mktemp("sweep")
    record_sweep(folder, run, 1)
    sample.main([str(folder), QUESTION, "--device=cpu"])
    first, *answers = capsys.readouterr().out.splitlines()
    assert first == f"the best run of {folder}: {folder / '1'}"
    assert [line.partition(": ")[2] for line in answers] == alone
    first_run = shutil.move(folder / "1", folder / "seed")
    for name in ("seed_10", "seed_9", "seed_0_old"):
        shutil.copytree(first_run, folder / "1" / name)
    sample.main(["--compare", str(folder), "--seed", "0", "--device=cpu", QUESTION])
    sample.main([str(folder), "--seed", "0", QUESTION, "--device=cpu"])  # the question behind an option
    assert capsys.readouterr().out.count(f"the best run of {folder}: {folder / '1' / 'seed_9'}\n") == 2
    Sweep(folder).write_results({"best_trial": None})
    with pytest.raises(SystemExit, match="2"):
        sample.main([str(folder), QUESTION])
    assert capsys.readouterr().err == (
        f"error: run={folder}: this sweep has no best trial (yet); name a run, {folder}/<number>\n"
    )
    Sweep(folder).write_results({"name": "optuna", "solutions": [{"values": [1, 2], "trial": 4}, {"trial": 1}]})
    with pytest.raises(SystemExit, match="2"):
        sample.main([str(folder), QUESTION])
    assert capsys.readouterr().err == (
        f"error: run={folder}: this sweep has several objectives, so no best trial; name a run, {folder}/<number> "
        "(on the Pareto front: 4, 1)\n"
    )


def test_runs_are_compared_side_by_side_on_held_out_prompts(
    run: Run, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = ask(run, capsys)
    folder = tmp_path_factory.mktemp("sweep")
    record_sweep(folder, run, 1)
    rows = [{"update": 1, "prompt": prompt} for prompt in (QUESTION, "And now?", QUESTION, "Why?")]
    run.append_samples(rows)
    sample.main(["--compare", str(run.folder), str(folder), "base", "--prompts=2", "--samples=2", "--device=cpu"])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line for line in lines if line.startswith("> ")] == [f"> {QUESTION}", "> And now?"]
    names = [line.strip().partition(": ")[0] for line in lines if not line.startswith("> ")]
    assert names == ["base", str(run.folder), str(folder)] * 4
    assert [line.partition(": ")[2] for line in lines[1:4]] == [alone[0], alone[1], alone[1]]
    assert lines[4:7] != lines[1:4]  # another seed


@pytest.mark.parametrize("place", ["", "sweep"])
def test_held_out_prompts_of_several_messages_are_asked_as_the_run_asked_them(
    place: str,
    run: Run,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(chat.Chat, "answer", lambda self, question, seed: asked.append(question))
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    single = [{"role": "user", "content": "user: a log"}]
    texts = ("system: Be brief.\nuser: Why?", "user: a log", "Alone?")
    run.append_samples([{"update": 1, "prompt": text} for text in texts])
    assert "base/, where they stand, is lost" in refusal_of_prompts(run.folder, capsys)
    if place:
        folder = tmp_path_factory.mktemp("sweep")
        record_sweep(folder, run, 1)
        run = Run(folder / "1")
    (Sweep(run.folder.parent).base if place else run.base).write(
        "prompts_0", [{"prompts": [], "order": []}, {"prompts": [[system, [1]], [single, [2]]]}, {"line": ""}]
    )
    sample.main([str(run.folder), "--prompts=3", "--device=cpu"])
    assert asked == [system, single, [{"role": "user", "content": "Alone?"}]]
    assert f"> {texts[0]}\n" in capsys.readouterr().out


def refusal_of_prompts(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="2"):
        sample.main([str(folder), "--prompts=3", "--device=cpu"])
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--compare", "base"], "--compare: must name a run or a sweep beside base"),
        (["RUN", "--prompts=1"], "samples.jsonl holds no prompts yet; give a question"),
        (
            ["--compare", "RUN", "OTHER"],
            "must have one base policy, since all answers are sampled with one tokenizer; --base=FOLDER",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    arguments: list[str],
    line: str,
    run: Run,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = Run(tmp_path_factory.mktemp("other") / "run")
    shutil.copytree(run.folder, other.folder)
    start = json.loads(other.start_file.read_text(encoding="utf-8"))
    start["config"]["model"]["path"] = "another/model"
    start.pop("sha256", None)
    other.start_file.write_text(json.dumps(start), encoding="utf-8")
    folders = {"RUN": str(run.folder), "OTHER": str(other.folder)}
    with pytest.raises(SystemExit, match="2"):
        sample.main([folders.get(word, word) for word in arguments])
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert line in error
