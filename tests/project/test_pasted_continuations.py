"""Pasted into a shell, the command that continues a run or a sweep is the one that it had."""

import json
import os
import socket
from pathlib import Path

import pytest
from helpers.pasting import ALL_ODD, FAKE, INTERRUPTED_RUN, INTERRUPTED_SWEEP, Paste, behind, composed, configs, printed
from helpers.pasting import paste as paste

from analysis.watch.places import Places
from rlhf_sweeps.record import Run, write_override


def test_an_interrupted_run_goes_on(paste: Paste) -> None:
    words = ["--config-dir", str(configs("given ä")), "experiment=mine", write_override("name", ALL_ODD), "seed=3"]
    text = printed(INTERRUPTED_RUN, *words, write_override("hydra.run.dir", f"runs/{ALL_ODD}"))
    config, task = composed(paste(behind(text, "Continue with: ")))
    assert config.hydra.run.dir == f"runs/{ALL_ODD}"
    assert task == composed(["-m", "rlhf_sweeps", *words])[1]
    assert (config.name, config.tracking.project) == (ALL_ODD, "of mine")


def test_a_run_that_nothing_trains_goes_on(paste: Paste) -> None:
    """What `python -m analysis watch` says of a run that was killed."""
    folder = Path("runs") / ALL_ODD
    words = [write_override("hydra.searchpath", [f"file://{configs('given')}"]), "experiment=mine", "seed=3"]
    printed(INTERRUPTED_RUN, *words, write_override("hydra.run.dir", str(folder)))
    Run(folder).begin({})
    os.utime(Run(folder).start_file, (1e9, 1e9))
    (seen,) = Places(folder).look()
    config, task = composed(paste(str(seen.note).removeprefix("nothing is training there: continue with ")))
    assert config.hydra.run.dir == str(folder)
    assert task == composed(["-m", "rlhf_sweeps", *words])[1]
    assert (config.seed, config.tracking.project) == (3, "of mine")


def test_an_interrupted_sweep_goes_on(paste: Paste) -> None:
    words = ["-m", *FAKE, "ppo.kl_coef=0.01,0.02", "hydra.sweeper.study_name='a b'", "name='ä,1'"]
    text = printed(INTERRUPTED_SWEEP, *words, write_override("hydra.sweep.dir", f"sweeps/{ALL_ODD}"))
    for line in (behind(text, "Continue with: "), watched(Path("sweeps") / ALL_ODD)):
        words_again = paste(line)
        assert words_again[2] == "-m"
        again, _ = composed(words_again)
        assert again.hydra.sweep.dir == f"sweeps/{ALL_ODD}"
        assert again.hydra.sweeper.study_name == "a b"
        assert sorted(again.hydra.overrides.task) == sorted(["tracking=disabled", *words[-3:-2], words[-1]])


def watched(folder: Path) -> str:
    """What `python -m analysis watch` says of a sweep whose process is gone."""
    (folder / "sweeper.json").write_text(json.dumps({"process": 2**30, "host": socket.gethostname()}))
    (seen,) = Places(folder).look()
    return str(seen.note).removeprefix("no sweeper is running: continue with ")


def test_a_run_without_a_model_is_continued(paste: Paste, capsys: pytest.CaptureFixture[str]) -> None:
    from rlhf_sweeps.sample import main

    Run(ALL_ODD).begin({})
    with pytest.raises(SystemExit):
        main([ALL_ODD])
    config, _ = composed(paste(f"python -m rlhf_sweeps {behind(capsys.readouterr().err, 'continue it with ')}"))
    assert config.hydra.run.dir == ALL_ODD
