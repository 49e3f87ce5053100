"""Each page of a room is complete: what it lists is what the code, conf/ or the tables of the code have."""

import ast
import dataclasses
import importlib
import inspect
import pydoc
import re
from types import ModuleType

import pytest
from conftest import ROOT

from analysis.command import _make_parser
from rlhf_sweeps.config.reward_models import KINDS
from rlhf_sweeps.config.schema import ObjectiveConfig, PPOConfig, SweepConfig, TrackingConfig
from rlhf_sweeps.data.readers import _FILES
from rlhf_sweeps.ppo import metrics
from rlhf_sweeps.record.sweep_plan import SweepPlan
from rlhf_sweeps.reward_screen.config import RewardScreenConfig
from rlhf_sweeps.reward_training.config import TrainingConfig
from rlhf_sweeps.sweep import active
from rlhf_sweeps.sweep.pruning.pruners import PRUNERS
from rlhf_sweeps.sweep.search.samplers import SAMPLERS
from rlhf_sweeps.sweep.settings import SweeperConfig
from rlhf_sweeps.sweep.study.trials import CAUSES
from rlhf_sweeps.training.train import RESUMABLE, UNWANTED


def read_page(folder: str) -> str:
    return (ROOT / folder / "README.md").read_text(encoding="utf-8")


def read_section(folder: str, heading: str) -> str:
    """What stands between a heading and the next one of its level."""
    level, page = heading.partition(" ")[0], read_page(folder)
    assert f"\n{heading}\n" in page, f"{folder}/README.md: has no heading {heading}"
    return re.split(rf"^{level} ", page.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def read_rows(text: str) -> dict[str, str]:
    """First cell of each row of the tables -> the other cells."""
    return dict(re.findall(r"^\| ([^|]+) \| (.*) \|$", text, flags=re.MULTILINE))


def find_code(text: str) -> list[str]:
    """Everything in backticks."""
    return re.findall(r"`([^`\n]+)`", text)


def find_words(text: str) -> set[str]:
    """All words in backticks that can be the name of a key."""
    return {word for code in find_code(text) for word in re.findall(r"[\w.]+", code)}


def names_of(schema: type) -> set[str]:
    return {entry.name for entry in dataclasses.fields(schema) if not entry.name.startswith("_")}


def choices_of(group: str) -> set[str]:
    return {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")}


def assert_equal(code: set[str], page: set[str]) -> None:
    """Names that only one of both has are told, not the first place at which two lists differ."""
    assert (code - page, page - code) == (set(), set()), "missing on the page; listed there and nowhere else"


def test_every_function_on_the_page_of_the_architecture_exists() -> None:
    names = [code.removesuffix("()") for code in find_code(read_page("rlhf_sweeps")) if code.endswith("()")]
    assert len(names) > 25
    assert [name for name in names if pydoc.locate(f"rlhf_sweeps.{name}") is None] == []


def test_every_class_that_a_room_gives_is_defined_in_one() -> None:
    names = {
        name for name in find_code(read_section("rlhf_sweeps", "## The rooms")) if re.fullmatch("[A-Z][a-z]\\w+", name)
    }
    classes = {
        node.name
        for package in ("rlhf_sweeps", "analysis")
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    assert {"RunRecord", "ConfigError"} < names
    assert names - classes == set()


def test_every_metric_has_its_docstring_as_its_row() -> None:
    formulas = {**metrics.ROLLOUT, **metrics.TOKEN, **metrics.STATE, **metrics.UPDATE}
    rows = read_rows(read_section("rlhf_sweeps/record", "## Metrics"))
    assert {name: rows.get(f"`{name}`") for name in formulas} == {name: one.__doc__ for name, one in formulas.items()}


def test_every_cause_and_every_field_of_a_plan_is_explained() -> None:
    causes = read_section("rlhf_sweeps/record", "## Status and cause").partition("| cause |")[2]
    assert set(read_rows(causes)) == {f"`{cause}`" for cause in CAUSES} | {"---"}
    assert names_of(SweepPlan) <= find_words(read_section("rlhf_sweeps/record", "## sweep.json"))


def test_every_reason_to_stop_is_named() -> None:
    reasons = {active.PRUNE, active.OVER_BUDGET, active.NO_METRIC, active.TIMEOUT, active.BUDGET, active.INTERRUPTED}
    statuses = read_rows(read_section("rlhf_sweeps/record", "## Status and cause").partition("| cause |")[0])
    assert reasons | {*RESUMABLE, *UNWANTED} <= find_words(statuses["`stopped`"])


def test_every_key_is_in_the_table_of_its_page() -> None:
    assert names_of(PPOConfig) <= find_words(read_section("rlhf_sweeps/ppo", "## Options"))
    assert names_of(TrainingConfig) <= find_words(read_section("rlhf_sweeps/reward_training", "## Keys"))
    assert names_of(RewardScreenConfig) <= find_words(read_section("rlhf_sweeps/reward_screen", "## Keys"))
    assert names_of(TrackingConfig) <= find_words(
        read_section("rlhf_sweeps/tracking", "## Keys and environment variables")
    )
    keys = {f"objective.{name}" for name in names_of(ObjectiveConfig)}
    assert keys <= find_words(read_section("rlhf_sweeps/record", "## What a run is worth"))
    keys = {f"hydra.sweeper.{name}" for name in names_of(SweeperConfig)}
    keys |= {f"sweep.{name}" for name in names_of(SweepConfig)}
    assert keys <= find_words(read_section("rlhf_sweeps/sweep", "## Keys"))


def test_every_choice_is_in_the_table_of_its_page() -> None:
    cells = read_rows(read_section("rlhf_sweeps/reward_models", "## Kinds")).keys() - {"`reward_model=`", "---"}
    assert_equal(choices_of("reward_model"), {find_code(cell)[0] for cell in cells})
    assert choices_of("dataset") <= find_words(read_section("rlhf_sweeps/data", "## Data sets"))
    assert choices_of("ppo") <= find_words(read_page("rlhf_sweeps/ppo").partition("\n## ")[0])
    assert choices_of("tracking") <= find_words(read_page("rlhf_sweeps/tracking").partition("\n## ")[0])
    for key, names in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        (cell,) = re.findall(rf"`hydra\.sweeper\.{key}=(.*?), or a dotted path", read_page("rlhf_sweeps/sweep"))
        assert_equal(set(names), {name.strip("` ") for name in re.split(r",|`;", cell.replace(" and ", ","))})


def test_every_kind_of_reward_model_is_in_the_table() -> None:
    rows = re.findall(
        r"^\| `.* \| (\w+) \| ", read_section("rlhf_sweeps/reward_models", "## Kinds"), flags=re.MULTILINE
    )
    assert set(rows) == KINDS.keys() | {"kind"}


def test_every_format_of_data_is_in_the_table() -> None:
    rows = read_rows(read_section("rlhf_sweeps/data", "## Data sets").partition("| file |")[2])
    assert rows.keys() == {f"`{suffix}`" for suffix in _FILES} | {"---"}


def test_every_variable_of_wandb_is_explained() -> None:
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "rlhf_sweeps" / "tracking").glob("*.py")]
    variables = {name for source in sources for name in re.findall(r"\"(WANDB_(?!X_)[A-Z_]+)\"", source)}
    assert len(variables) > 5
    assert variables <= find_words(read_page("rlhf_sweeps/tracking"))


def test_every_command_of_the_analysis_is_explained() -> None:
    (commands,) = [action.choices for action in _make_parser()._actions if action.choices]
    section = read_section("analysis", "## Commands")
    assert [name for name in commands if f"python -m analysis {name} " not in section] == []


@pytest.mark.parametrize(("page", "heading"), [("analysis", "## Files"), ("rlhf_sweeps", "## The files")])
def test_the_files_of_a_room_stand_in_order(page: str, heading: str) -> None:
    blocks = [block.splitlines() for block in read_section(page, heading).split("\n\n") if block.startswith("    ")]
    names = [[line.split()[0] for line in block] for block in blocks]
    assert len(names) > 8
    assert [block for block in names if block != sorted(block)] == []


def find_modules() -> dict[str, ModuleType]:
    """Finding that a rule of health can return -> its module: the names that `Finding(...)` is called with."""
    modules = {}
    for file in sorted((ROOT / "analysis" / "health").glob("*.py")):
        module = importlib.import_module(f"analysis.health.{file.stem}")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
                modules[getattr(module, ast.unparse(node.args[0]), "")] = module
    del modules[""]  # a local name: how a run ended
    return modules


def read_findings() -> dict[str, str]:
    """Finding -> its threshold, in words with numbers."""
    rows = re.findall(
        r"^\| `([^`]+)` \| ([^|]+) \|", read_section("analysis", "## Health findings"), flags=re.MULTILINE
    )
    return dict(rows)


def test_every_finding_of_health_is_explained() -> None:
    assert find_modules().keys() == read_findings().keys() - {"diverged"}


def numbers_of(module: ModuleType, finding: str) -> set[float]:
    """The numbers in the rules that return a finding, and in those of our functions that they call, near or far."""
    makers = {name for name, rule in _functions(module).items() if finding in _returned(rule, module)}
    rules = [rule for name, rule in _functions(module).items() if name in makers or makers & _names_in(rule)]
    seen: set[str] = set()
    waiting = [(module, rule) for rule in rules]
    numbers: set[float] = set()
    while waiting:
        home, function = waiting.pop()
        if (name := f"{home.__name__}.{function.name}") in seen:
            continue
        seen.add(name)
        for node in ast.walk(function):
            value = getattr(home, node.id, None) if isinstance(node, ast.Name) else None
            value = node.value if isinstance(node, ast.Constant) else value
            if type(value) in (int, float):
                numbers.add(float(value))
            elif inspect.isfunction(value) and value.__module__.startswith(("analysis.", "rlhf_sweeps.verdicts")):
                home_of = importlib.import_module(value.__module__)
                waiting.append((home_of, _functions(home_of)[value.__name__]))
    return numbers


def _functions(module: ModuleType) -> dict[str, ast.FunctionDef]:
    nodes = ast.parse(inspect.getsource(module)).body
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}


def _names_in(function: ast.FunctionDef) -> set[str]:
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


def _returned(rule: ast.FunctionDef, module: ModuleType) -> set[str]:
    """The findings that a function makes."""
    calls = [node for node in ast.walk(rule) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"]
    return {getattr(module, ast.unparse(call.args[0]), "") for call in calls}


@pytest.mark.parametrize("finding", sorted(find_modules()))
def test_every_threshold_of_a_finding_is_a_number_of_its_code(finding: str) -> None:
    told = re.findall(r"(?<![\w.`])\d+(?:\.\d+)?(?:e-\d+)?", read_findings()[finding])
    assert {float(number) for number in told} <= numbers_of(find_modules()[finding], finding)


def test_false_alarms_are_those_that_were_measured() -> None:
    """Of findings; tests/helpers/health_records/README.md has how many runs in all had one, in three ways."""
    rows = re.findall(
        r"^\| `.* \| (\d+), (\d+), (\d+) \|$", read_section("analysis", "## Health findings"), re.MULTILINE
    )
    measured = re.findall(r"\| 10,000 \| (\d+) \|", read_page("tests/helpers/health_records"))
    # No run had two, so that the findings are as many as the runs.
    assert [sum(map(int, column)) for column in zip(*rows, strict=True)] == [int(number) for number in measured]
