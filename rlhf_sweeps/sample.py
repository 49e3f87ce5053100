"""Ask a trained policy and its base the same question: `python -m rlhf_sweeps.sample outputs/<run> ["question"]`.

Of a sweep the best run answers. `sample --compare outputs/<run> outputs/<sweep> base` shows several side by side.

The record and the files are checked before torch is loaded, so that a wrong folder is refused at once.
"""

import argparse
import contextlib
import dataclasses
import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlhf_sweeps.cli import conf_dir
from rlhf_sweeps.command_line.hydra_answers import to_literal
from rlhf_sweeps.config.fields import ConfigError, find_out_of_range, format_value
from rlhf_sweeps.config.schema import ModelConfig, PPOConfig
from rlhf_sweeps.data import Messages, as_text
from rlhf_sweeps.data.messages import RowError, read_prompt
from rlhf_sweeps.platforms.output import tolerate
from rlhf_sweeps.preflight import check_policy
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.closed_output import tolerate_closed_output
from rlhf_sweeps.process.exit_status import INTERRUPTED, WRONG_INPUT
from rlhf_sweeps.process.option_parser import OptionParser, parse_count, parse_positive, parse_whole
from rlhf_sweeps.process.printed_commands import adapt_commands
from rlhf_sweeps.record import (
    MASK,
    BaseRecord,
    Run,
    Sweep,
    find_variables,
    is_masked,
    is_sweep,
    write_command,
    write_override,
)
from rlhf_sweeps.wording import suggest_path

Section = TypeVar("Section")
BASE = "base"
_TURNS = re.compile(r"(system|user|assistant): ")  # how `as_text` begins a prompt of several messages


def main(arguments: list[str] | None = None) -> None:
    """Entry point."""
    tolerate()
    try:
        with tolerate_closed_output():
            _serve(_parse(arguments))
    except ConfigError as error:
        print(f"error: {adapt_commands(str(error))}", file=sys.stderr)
        sys.exit(WRONG_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; `folders` are those whose policies answer, with `base` for the base policy of the first."""
    parser = OptionParser(
        prog=adapt_commands("python -m rlhf_sweeps.sample"), description=adapt_commands(__doc__ or "")
    )
    parser.add_argument(
        "words", nargs="*", metavar="FOLDER QUESTION", help="a run, or a sweep, whose best run answers; the question. "
        "Without a question a prompt opens. With --compare only the question",
    )  # fmt: skip
    parser.add_argument("--compare", nargs="+", metavar="FOLDER", help="runs and sweeps side by side; base: their base")
    parser.add_argument("--prompts", type=parse_count, help="ask so many held-out prompts instead of a question")
    parser.add_argument("--samples", type=parse_count, default=1, help="answers to each question; default: 1")
    parser.add_argument("--base", help="the base policy, a folder or hub id; default: the one that the record names")
    parser.add_argument("--temperature", type=parse_positive, help="sampling temperature (default: the run's)")
    parser.add_argument("--response-length", type=parse_count, help="tokens at most; default: the run's")
    parser.add_argument("--seed", type=parse_whole, default=0, help="seed of the sampling (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:<number> or mps; default: auto")
    options = parser.parse_intermixed_args(arguments)
    options.folders = options.compare or [*options.words[:1], BASE]
    questions = options.words if options.compare else options.words[1:]
    if len(questions) > 1 or (questions and options.prompts):
        parser.error("one question, in quotes, or --prompts; with --compare the folders stand behind it")
    if not options.compare and not options.words:
        parser.error("name a folder, or several behind --compare")
    options.question = next(iter(questions), None)
    return options


def _serve(options: argparse.Namespace) -> None:
    runs = {folder: _find_run(folder) for folder in options.folders if folder != BASE}
    if not runs:
        raise ConfigError("--compare: must name a run or a sweep beside base")
    first = next(iter(runs.values()))
    base = _choose_base(first, options)
    policies = {BASE: base} if BASE in options.folders else {}
    for folder, run in runs.items():
        own = _choose_base(run, options)
        if (own.path, own.revision) != (base.path, base.revision):
            raise ConfigError(
                f"--compare: {folder} was trained from {own.path}, and {first.folder} from {base.path}; must have one "
                "base policy, since all answers are sampled with one tokenizer; --base=FOLDER names it if it is one"
            )
        name = folder if options.compare else "trained"
        policies[name] = dataclasses.replace(base, path=str(run.model), revision=None, pypi_wheel=None, sha256=None)
    ppo = _read_sampling(first, options)
    questions = _read_questions(first, options)
    for policy in policies.values():
        check_policy(policy)
    from rlhf_sweeps.chat import open_chat

    chat = open_chat(policies, ppo, options.device)
    for question in questions:
        if len(questions) > 1:
            print(f"> {as_text(question)}")
        for seed in range(options.seed, options.seed + options.samples):
            chat.answer(question, seed)
    if questions:
        return
    print("Ask something; an empty line or Ctrl-D ends.")
    for place in itertools.count():
        try:
            line = input("> ")
        except (EOFError, KeyboardInterrupt):
            line = ""
        if not line.strip():
            return
        for sample in range(options.samples):
            chat.answer(_ask(line), options.seed + place * options.samples + sample)


def _find_run(folder: str) -> Run:
    """The run in a folder; in that of a sweep, the best one.

    Raises:
        ConfigError: if there is none whose policy can answer.
    """
    run = Run(folder)
    if run.start() is None and Path(folder).is_dir() and is_sweep(Path(folder)):
        best = Sweep(folder).best_run()
        if best is None:
            solutions = Sweep(folder).list_solutions()
            reason = "several objectives, so no best trial" if solutions else "no best trial (yet)"
            listed = f" (on the Pareto front: {', '.join(map(str, solutions))})" if solutions else ""
            raise ConfigError(f"run={folder}: this sweep has {reason}; name a run, {folder}/<number>{listed}")
        print(f"the best run of {folder}: {best.folder}")
        run = best
    if run.start() is None:
        lost = f"{run.start_file.name} is damaged" if run.start_file.exists() else "holds no run"
        near = "" if Path(folder).exists() else suggest_path(Path(folder))
        raise ConfigError(f"run={folder}: {lost}{near} (allowed: a folder with a run.json)")
    if not run.model.is_dir():
        again = write_command(write_override("hydra.run.dir", folder))
        raise ConfigError(f"run={folder}: has no model/ yet; continue it with {again}")
    with report_activity("checking the trained policy's files"):
        changed = run.find_changed_files(run.summary() or {}, run.model)
    if changed:
        raise ConfigError(f"run={folder}: {changed[0]}; the command that trained it exports it again")
    return run


def _read_sampling(run: Run, options: argparse.Namespace) -> PPOConfig:
    """How to sample: as the run did, unless the options say otherwise."""
    ppo = _read(PPOConfig, run, "ppo", "ppo/default.yaml")
    for text in ppo.stop_strings:
        if find_variables(text) or (is_masked(text) and text != MASK):
            raise ConfigError(
                f"run={run.folder}: ppo.stop_strings holds {format_value(text)}, whose value is not recorded"
            )
    return dataclasses.replace(
        ppo,
        response_length=options.response_length or ppo.response_length,
        temperature=options.temperature or ppo.temperature,
    )


def _ask(question: str) -> Messages:
    return [{"role": "user", "content": question}]


def _read_questions(run: Run, options: argparse.Namespace) -> list[Messages]:
    """The question, or the first held-out prompts that the run has recorded; empty if the user is to type them.

    Raises:
        ConfigError: if the run has recorded no prompts, or not of which messages they consist.
    """
    if options.prompts is None:
        return [] if options.question is None else [_ask(options.question)]
    prompts = list(dict.fromkeys(str(row.get("prompt")) for row in run.samples()))
    if not prompts:
        raise ConfigError(f"run={run.folder}: {run.samples_file.name} holds no prompts yet; give a question")
    messages, wanted = _read_held_out(run), prompts[: options.prompts]
    if any(_TURNS.match(prompt) and prompt not in messages for prompt in wanted):
        raise ConfigError(
            f"run={run.folder}: prompts of several messages, and base/, where they stand, is lost; give a question"
        )
    return [messages.get(prompt) or _ask(prompt) for prompt in wanted]


def _read_held_out(run: Run) -> dict[str, Messages]:
    """Text -> messages of the held-out prompts in the record of the run, or of its sweep, which its trials share."""
    messages: dict[str, Messages] = {}
    for folder in (run.folder, *run.folder.absolute().parents[:2]):
        for rows in BaseRecord(folder).read_all("prompts_"):
            held_out = rows[1].get("prompts") if len(rows) > 1 else None
            for entry in held_out if isinstance(held_out, list) else []:
                with contextlib.suppress(RowError, TypeError, LookupError):  # the record may come from somebody else
                    prompt = read_prompt(entry[0])
                    messages.setdefault(as_text(prompt), prompt)
    return messages


def _choose_base(run: Run, options: argparse.Namespace) -> ModelConfig:
    """The base policy of a run.

    The record may come from somebody else, so only wheels that our own conf/ names are fetched, and no environment
    variable is read.

    Raises:
        ConfigError: if the user must name the base policy.
    """
    base = _read(ModelConfig, run, "model", "model/local.yaml")
    if options.base is not None:
        return dataclasses.replace(base, path=options.base, revision=None, pypi_wheel=None, sha256=None)
    problem = None
    if any(map(find_variables, (str(base.path), str(base.revision)))) or is_masked(str(base.path)):
        problem = f"its base policy, {format_value(base.path)}, is not in the record"
    elif base.pypi_wheel is not None:
        pinned = _read_pinned_wheels()
        base = dataclasses.replace(base, sha256=base.sha256 or pinned.get(base.pypi_wheel))
        if (base.pypi_wheel, base.sha256) not in pinned.items():
            problem = f"its record names a wheel that conf/ does not name, {format_value(base.pypi_wheel)}"
    if problem is not None:
        raise ConfigError(f"run={run.folder}: {problem}; --base=FOLDER names the base policy")
    return base


def _read_pinned_wheels() -> dict[str, str]:
    """Wheel -> digest, for all wheels in conf/model."""
    digests: dict[str, str] = {}
    for file in Path(conf_dir(), "model").glob("*.yaml"):
        choice: Any = OmegaConf.load(file)
        if choice.get("pypi_wheel") is not None:
            digests[choice.pypi_wheel] = choice.sha256
    return digests


def _read(section: Callable[..., Section], run: Run, key: str, defaults: str) -> Section:
    """A section of a run's recorded config; keys that its version did not have get their values from a file in conf/.

    Raises:
        ConfigError: if the record does not hold it.
    """
    values: Any = OmegaConf.to_container(OmegaConf.load(Path(conf_dir()) / defaults))
    recorded = ((run.start() or {}).get("config") or {}).get(key)
    if not isinstance(recorded, dict):
        raise ConfigError(f"run={run.folder}: the config in its {run.start_file.name} has no {key}")
    names = [entry.name for entry in dataclasses.fields(section)]  # type: ignore[arg-type]
    # Not resolved: the record may come from somebody else, and must not read our environment variables.
    given = to_literal({name: recorded[name] if name in recorded else values.get(name) for name in names})
    schema: Any = OmegaConf.structured(section)
    try:
        made: Any = OmegaConf.to_object(OmegaConf.merge(schema, given))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"run={run.folder}: {key} in the config of its {run.start_file.name}: {reason}") from error
    if problems := [*find_out_of_range(made, f"{key}.")]:
        raise ConfigError(f"run={run.folder}: the config in its {run.start_file.name} has {problems[0]}")
    return cast(Section, made)


if __name__ == "__main__":
    main()
