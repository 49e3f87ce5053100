"""Our trainer, one update a turn: python our_worker.py JOB.json, where the job's "overrides" are Hydra's."""

import tempfile
import time
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from turns import Turns, read_job

from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.config.reading import from_hydra
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.record import Run


def compose_config(overrides: Sequence[str]) -> Config:
    """The config that the command line would make of these overrides."""
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("config", overrides=list(overrides))
    with open_dict(config):
        config.pop("hydra", None)
    return from_hydra(config)


def main() -> None:
    """All updates of the job."""
    # Late, because the driver imports this file and must stay small (see there).
    import torch

    from rlhf_sweeps.training.session import load_session

    turns, job = Turns(), read_job()
    torch.set_num_threads(job["threads"])
    with tempfile.TemporaryDirectory() as folder:
        session = load_session(compose_config(job["overrides"]), Run(folder))
        for _ in range(job["num_updates"]):
            turns.wait()
            start = time.perf_counter()
            metrics = session.trainer.step()
            seconds = {phase: metrics[f"perf/{phase}_seconds"] for phase in ("sample", "score", "optimize")}
            turns.answer(
                **seconds,
                update=time.perf_counter() - start,
                episodes=job["batch_size"],
                response_tokens=metrics["tokens/sample"],
                scores=metrics["objective/scores"],
            )


if __name__ == "__main__":
    main()
