"""How runs ended: failed, diverged, or short of memory."""

from analysis.health.signals import Finding, read_series
from analysis.records.runs import DIVERGED, RunRecord
from analysis.wording.statements import clip_text
from rlhf_sweeps.figures import format_number

MEMORY = "memory ran short"

_HELP = {
    "out_of_memory": "lower ppo.microbatch_size and ppo.rollout_batch_size, or ppo.response_length;"
    " ppo.gradient_checkpointing=true; ppo.lora_rank=16",
    "diverged": "lower ppo.lr; ppo.max_grad_norm=1; ppo.precision=float32; ppo.score_clip for outlying scores",
    "reward_model": "repair what the message names; then the same command continues the run; if the function is too"
    " slow, raise reward_model.timeout",
    "timeout": "raise sweep.trial_hours or sweep.update_timeout, or shorten runs (ppo.total_episodes)",
    "lost_process": "the same command continues from the last checkpoint; the machine's log may show why it ended",
    "config": "correct the key that the message names",
}
_LONGEST = 200  # of a message
_OTHER_HELP = "see rlhf_sweeps.log in the run's folder; the same command continues from the last checkpoint"


def check_end(run: RunRecord) -> Finding | None:
    """A run that failed, with its cause."""
    if run.cause is None:
        return None
    update = run.summary.get("update", run.summary.get("updates"))
    if not isinstance(update, int) or isinstance(update, bool):
        update = int(run.updates[-1]) if len(run.updates) else None
    return describe_failure(run.cause, update or None, str(run.summary.get("message") or ""))


def describe_failure(cause: str, update: int | None, message: str) -> Finding:
    """The end of a run or trial.

    Args:
        cause: as the record names it: out_of_memory, diverged, reward_model, error, config, timeout, lost_process.
        update: the one it ended in; None if that is unknown, or none had begun.
        message: of any length, or empty.
    """
    kind = DIVERGED if cause == DIVERGED else f"failed: {cause.replace('_', ' ')}"
    message = clip_text(" ".join(message.split()), _LONGEST)
    text = f"the run ended{f' in update {update}' if update else ''}{f': {message}' if message else ''}"
    return Finding(kind, update, text, {}, _HELP.get(cause, _OTHER_HELP))


def check_memory(run: RunRecord) -> Finding | None:
    """Batches were halved because memory did not suffice; the numbers are the same, the time is not."""
    for metric, key in (
        ("perf/microbatch_size", "ppo.microbatch_size"),
        ("perf/rollout_batch_size", "ppo.rollout_batch_size"),
    ):
        sizes = read_series(run, metric)
        if not len(sizes):
            continue
        given = run.config.get(key)
        first = float(given) if isinstance(given, int) and not isinstance(given, bool) else float(sizes.values[0])
        is_less = sizes.values < first
        if is_less.any() and sizes.values[-1] < first:
            update, last = int(sizes.updates[int(is_less.argmax())]), float(sizes.values[-1])
            text = (
                f"there was too little memory, so {key} was halved from {format_number(first)} to {format_number(last)}"
            )
            advice = f"set {key}={format_number(last)} from the start; ppo.gradient_checkpointing=true"
            return Finding(MEMORY, update, text, {"configured": first, "at the end": last}, advice)
    return None
