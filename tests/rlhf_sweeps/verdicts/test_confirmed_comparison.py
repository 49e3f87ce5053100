"""Reward models compared on the confirming prompts, if every run answered them."""

from pathlib import Path

from rlhf_sweeps.record import Run
from rlhf_sweeps.verdicts.matrix import ComparedSetting, compare


def make_setting(folder: Path, name: str, trial: int, num_chosen: int, num_confirmed: int | None) -> ComparedSetting:
    """A run that wins so many of 10 prompts that chose it, and so many of 8 confirming ones, under the other judge."""
    run = Run(folder / name)
    run.begin({"seed": 0})

    def make_rows(prefix: str, num_prompts: int, num_wins: int) -> list[dict[str, object]]:
        return [
            {"update": 10, "prompt": f"{prefix} {n}", "score": 1.0, "base_score": 0.0}
            | {"judge/other/score": float(n < num_wins), "judge/other/base_score": 0.5}
            for n in range(num_prompts)
        ]

    run.append_samples(make_rows("chosen", 10, num_chosen))
    if num_confirmed is not None:
        run.write_confirmation(make_rows("confirming", 8, num_confirmed))
    run.write_summary({"status": "complete", "best": {"update": 10, "score": 1.0, "kl": 4.0}})
    return ComparedSetting(name, trial, {}, [run])


def test_prompts_that_chose_nothing_compare_them(tmp_path: Path) -> None:
    found = compare([make_setting(tmp_path, "a", 0, 9, 2), make_setting(tmp_path, "b", 1, 5, 4)])
    rates = {entry["reward_model"]: entry["judges"]["other"]["win_rate"]["mean"] for entry in found["reward_models"]}
    assert (found["num_prompts"], rates) == (8, {"a": 2 / 8, "b": 4 / 8})
    assert [entry["reward_model"] for entry in found["ranking"]] == ["b", "a"]


def test_if_one_run_did_not_answer_them_those_that_chose_do(tmp_path: Path) -> None:
    found = compare([make_setting(tmp_path, "a", 0, 9, 2), make_setting(tmp_path, "b", 1, 5, None)])
    rates = {entry["reward_model"]: entry["judges"]["other"]["win_rate"]["mean"] for entry in found["reward_models"]}
    assert (found["num_prompts"], rates) == (10, {"a": 9 / 10, "b": 5 / 10})


def test_lost_answers_leave_their_run_out(tmp_path: Path) -> None:
    settings = [make_setting(tmp_path, "a", 0, 9, 2), make_setting(tmp_path, "b", 1, 5, 4)]
    file = settings[0].runs[0].confirmation_file
    file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    found = compare(settings)
    assert found["left_out"][0] == "a, trial 0, seed 0: confirmation.jsonl: damaged, its digest differs"
    assert [entry["reward_model"] for entry in found["reward_models"]] == ["b"]
