"""What a later start of a sweep reads of the runs on test seeds."""

from pathlib import Path

from helpers.ended_trials import make

from rlhf_sweeps.record import Sweep
from rlhf_sweeps.sweep.study.recall import recall_tests


def test_a_test_run_that_its_kl_budget_stopped_is_beyond_it(tmp_path: Path) -> None:
    sweep, trial = Sweep(tmp_path), make(0, [1.0])
    ends = {7: ("complete", None), 8: ("stopped", "kl_budget")}
    for seed, (status, reason) in ends.items():
        run = sweep.test_run(0, seed)
        run.folder.mkdir(parents=True)
        run.write_summary({"status": status, "stop_reason": reason, "objective": 2.0, "objectives": [2.0]})
    recall_tests(trial, sweep, [7, 8])
    assert trial.tested == {7: [2.0], 8: [2.0]}
    assert trial.beyond == {8}
