"""The pages are true: links and pictures lead somewhere, and every command on a page can be given as it stands."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from helpers import fake_trainer
from helpers.page_commands import check_run, check_screen, check_sweep, check_training, existing_keys, words_of
from helpers.pages import PAGES, anchors, blocks, commands, links, paths
from helpers.sweeping import sweep

from analysis.command import _make_parser
from rlhf_sweeps.record.trials import BEYOND
from rlhf_sweeps.sweep import report
from rlhf_sweeps.sweep.settings import DEFAULT_TRIALS
from rlhf_sweeps.verdicts.against_base import Gain, describe_gain
from rlhf_sweeps.verdicts.final_policies import FinalPolicy
from rlhf_sweeps.verdicts.policy_sentences import describe_test

README = ROOT / "README.md"
CONF = ROOT / "conf"
# Commands that are not tried here, and why.
UNTRIED = {
    "python -m venv ": "makes an environment, as .ci/run does",
    "source ": "enters it, as .ci/run does",
    "cd ": "counts for the lines after it",
    "git ": "works on the reader's own copy",
    "ruff check .": ".ci/run gives it",
    "ruff format --check .": ".ci/run gives it",
    "mypy": ".ci/run gives it",
    ".ci/run": "runs all tests itself",
    ".ci/pictures ": "draws with a browser",
    "optuna-dashboard ": "tests/rlhf_sweeps/sweep/study/test_dashboard.py opens it",
    "wandb ": "sends to W&B's server",
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHON_FILES = re.compile(r"python(?: -m)? (tests[./]\S+|rlhf_sweeps\.assets\S*|rlhf_sweeps\.garbled)")


def test_every_link_leads_to_a_file_and_to_a_heading_in_it() -> None:
    found = [link for page in PAGES for link in links(page)]
    assert [link for link in found if not link.path.exists()] == []
    headings = {page: anchors(page) for page in {link.path for link in found if link.anchor}}
    assert [link for link in found if link.anchor and link.anchor not in headings[link.path]] == []
    assert len(found) > 20


def test_every_path_on_a_page_exists() -> None:
    found = [(page, path) for page in PAGES for path in paths(page)]
    assert [f"{page.relative_to(ROOT)}: {path}" for page, path in found if not is_there(page, path)] == []
    assert len(found) > 20


def test_every_python_file_on_a_page_exists() -> None:
    """Also where a page names it without its folder, or from the folder of a package."""
    names = [(page, name) for page in PAGES for name in re.findall(r"`([\w/]+\.py)`", page.read_text("utf-8"))]
    files = [f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*.py")]
    missing = [(page, name) for page, name in names if not any(file.endswith(f"/{name}") for file in files)]
    assert missing == []
    assert len(names) > 20


def is_there(page: Path, path: str) -> bool:
    return any([*top.glob(path), *top.glob(f"{path}.py")] for top in (ROOT, page.parent))


def test_the_first_page_is_short_and_has_pictures() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 160
    # Tables, pictures and what is printed cannot be broken.
    assert [line for line in lines if len(line) > 120 and line[0] not in " |!"] == []
    pictures = {link.path for link in links(README) if link.is_picture}
    assert len(pictures) >= 2
    assert [path for path in pictures if not 10_000 < path.stat().st_size < 300_000] == []
    assert [path for path in pictures if not path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")] == []


def test_a_link_and_a_heading_are_read_as_a_host_reads_them(tmp_path: Path) -> None:
    """GitHub's rules, by hand: lower case, no punctuation, hyphens, a number for the second of a name."""
    page = tmp_path / "page.md"
    text = "# A `b.c`, d!\n## Two  words\n## Two  words\n[x](y.md#z), [`k`](#a) ![p](q.png) `[no](link)` [w](https://x.y)\n"
    page.write_text(f"{text}\n    [no](code)\n\n```sh\n# no heading\n```\n", encoding="utf-8")
    assert anchors(page) == {"a-bc-d", "two--words", "two--words-1"}
    assert [(link.file, link.anchor, link.is_picture) for link in links(page)] == [
        ("y.md", "z", False),
        ("", "a", False),
        ("q.png", "", True),
    ]


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder of choices, in the working directory: the examples of conf/README.md in their places."""
    folder = tmp_path / "my_conf"
    for text in [block.text for block in blocks(ROOT / "conf" / "README.md") if block.language == "yaml"]:
        ((group, name),) = re.findall(r"^# python .* (\w+)=(my_\w+)$", text, re.MULTILINE)
        (folder / group).mkdir(parents=True)
        (folder / group / f"{name}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


def test_every_command_can_be_given(own_files: Path) -> None:
    problems = []
    for command, page in {command: page for page, command in commands()}.items():
        try:
            try_command(command, own_files)
        except (Exception, SystemExit) as error:
            problems.append(f"{page}: {command}: {error!r}")
    assert problems == []


def test_every_choice_says_how_it_is_used(own_files: Path) -> None:
    """The examples of the page, too. A line that says where its keys belong comes before this comment."""
    for path in sorted([*CONF.glob("*/*.yaml"), *own_files.glob("*/*.yaml")]):
        lines = path.read_text(encoding="utf-8").splitlines()
        is_placed = lines[0].startswith("# @package ")
        assert is_placed == (path.parent.name in ("experiment", "search")), path
        command = lines[is_placed].removeprefix("# ")
        if command != f"python -m rlhf_sweeps {path.parent.name}={path.stem}":  # which test_config.py composes
            try_command(command, own_files)


def test_a_command_that_needs_an_extra_has_it_named_on_its_page() -> None:
    """A reader who has installed the package alone can give every other command."""
    extras = PYPROJECT["project"]["optional-dependencies"].keys()
    for page, command in commands():
        for extra in {*re.findall(r"\w+", command)} & extras:
            assert f"pip install -e '.[{extra}]'" in (ROOT / page).read_text(encoding="utf-8"), f"{page}: {command}"
    first = [command for page, command in commands() if page == "README.md" and "pip install" not in command]
    assert [command for command in first if {*re.findall(r"\w+", command)} & extras] == []


@pytest.mark.parametrize(
    "command",
    [
        "python -m rlhf_sweeps ppo.kl_coeff=0.1",
        "python -m rlhf_sweeps ppo.lr=-1",
        "python -m rlhf_sweeps model=tini",
        "python -m rlhf_sweeps -m ppo.kl_coef=0.1,-0.1",
        "python -m rlhf_sweeps -m ppo.lr='interval(0,1e-4)' hydra.sweeper.sampler=tpo",
        "python -m rlhf_sweeps -m search=lr_kl_clip hydra.sweeper.num_trials=3",
        "python -m rlhf_sweeps.reward_models train reward_model.lora=16",
        "python -m rlhf_sweeps.reward_models fit",
        "python -m rlhf_sweeps.reward_models screen reward_models=[tiny,lenght]",
        "python -m rlhf_sweeps.sample outputs/<run> --seeds 1",
        "python -m analysis curve outputs/<sweep>",
        "python -m pytest tests/project/test_nothing.py",
        "python -m pytest -m slowly",
        "pip install -e '.[dashbord]'",
        "python -m tests.mutant ppo",
        "python -m tests.mutants oops",
        "python -m analysis compare outputs/<sweep> --by reward_modle",
        "ruff chek .",
        "python tests/benchmarks/nothing.py",
        "frobnicate outputs/<sweep>",
    ],
)
def test_a_wrong_command_is_noticed(command: str, own_files: Path) -> None:
    with pytest.raises((Exception, SystemExit)):
        try_command(command, own_files)


def test_every_other_block_says_what_it_is() -> None:
    """A block of a language is read as that language; a block without one shows output, or which files lie where."""
    for block in [block for page in PAGES for block in blocks(page) if not block.is_shell and block.language]:
        READERS[block.language](block.text)


def test_a_sweep_prints_what_the_first_page_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last lines, numbers, folders and the words of this test apart; .ci/run gives the command itself."""
    monkeypatch.setattr(report, "_write", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    # The first evaluation is within the KL budget of the embedded model, the later ones are not.
    monkeypatch.setattr(fake_trainer, "divergence", lambda lr, update: float(update))
    (block,) = [block.text for block in blocks(README) if "leading (not decided): trial" in block.text]
    sweep(Path("outputs/s"), "ppo.kl_coef=0.01,0.02", "sweep.report=true")
    printed = re.sub(r" tracking=\S+| sweep\.report=\S+| hydra\.sweeper\.\S+", "", capsys.readouterr().out)
    *shown_lines, judgement, verdict = block[block.index("leading (not decided): trial") :].splitlines()
    assert _without_numbers(printed).splitlines()[:-1] == _without_numbers("\n".join(shown_lines)).splitlines()
    # The runs of this test record no answers, so that no judge speaks and the last line says something else.
    gain = Gain(0.2, 0.1, 0.3, "better", 120, 1)
    assert _without_numbers(judgement) == _without_numbers(f"judged by grammar, trial 0 is {describe_gain(gain)}")
    confirmed = FinalPolicy(5, 2.0, True, {"a": 1.0, "b": 2.0}, 3.0, score=1.0)
    test = describe_test(gain, 2, [FinalPolicy(5, 2.0, True, {}, 3.0, confirmed=confirmed)])
    sentence = f"at its best held-out score, trial 0 is {test}; it went {BEYOND}"
    assert _without_numbers(verdict) == _without_numbers(sentence)


def _without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.]*", "0", re.sub(r"outputs/[^/\s]+", "FOLDER", text))


def test_the_pages_name_the_number_of_trials() -> None:
    assert f"a search, {DEFAULT_TRIALS} trials" in README.read_text(encoding="utf-8")
    page = (ROOT / "rlhf_sweeps" / "sweep" / "README.md").read_text(encoding="utf-8")
    assert page.count(f"{DEFAULT_TRIALS} trials") + page.count(f"trials, {DEFAULT_TRIALS}") == 2


def test_the_keys_that_people_change_exist() -> None:
    (table,) = re.findall(r"^\| key \|.*?\n\n", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    keys = {key for row in table.strip().splitlines()[2:] for key in re.findall(r"`([^`=]+)`", row.split("|")[1])}
    assert keys - existing_keys() == set()
    assert len(keys) > 20


def try_command(command: str, own_files: Path) -> None:
    """Give a command as far as that takes no model and no network; raises what is wrong with it."""
    words = words_of(command)
    start = next((start for start in CHECKS if tuple(words[: len(start)]) == start), None)
    if start is not None:
        CHECKS[start](words[len(start) :], own_files)
    elif match := PYTHON_FILES.match(command):
        name = match[1] if match[1].endswith(".py") else match[1].replace(".", "/")
        assert any((ROOT / path).exists() for path in (name, f"{name}.py")), "no such file"
        rooms = {path.stem for path in (ROOT / "tests" / "mutants").glob("*.toml")} | {"ROOM"}
        assert name != "tests/mutants" or not words[3:] or words[3].startswith("-") or words[3] in rooms, "no such room"
    else:
        is_untried = any(command.startswith(start) if start.endswith(" ") else command == start for start in UNTRIED)
        assert is_untried, "neither tried nor among UNTRIED"


def _run(words: list[str], own_files: Path) -> None:
    given = words if "--config-dir" in words else ["--config-dir", str(own_files), *words]
    (check_sweep if {"-m", "--multirun"} & {*words} else check_run)(given)


def _training(words: list[str], own_files: Path) -> None:
    if words:
        assert words[0] in ("train", "screen")
        check = check_training if words[0] == "train" else check_screen
        check(["--config-dir", str(own_files), *words[1:]])


def _sample(words: list[str], own_files: Path) -> None:
    from rlhf_sweeps import sample

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "_serve", lambda options: None)
        if words:
            sample.main(words)


def _analysis(words: list[str], own_files: Path) -> None:
    if words:
        options = _make_parser().parse_args(words)
        keys = (getattr(options, "by", None) or "").split(",")
        assert {*keys} - {""} - existing_keys() == set(), "no such key"


def _pytest(words: list[str], own_files: Path) -> None:
    paths = [word.partition("::")[0] for word in words if "/" in word or word.endswith(".py")]
    folders = (ROOT, ROOT / "tests", ROOT / "tests" / "rlhf_sweeps")  # where pages say `cd`
    assert [path for path in paths if not any([*folder.glob(path)] for folder in folders)] == []
    if "-m" in words:
        marks = {text.partition(":")[0] for text in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]}
        assert set(words[words.index("-m") + 1].split()) - marks <= {"not", "and", "or"}


def _pip(words: list[str], own_files: Path) -> None:
    """The files and extras exist; .ci/run gives the first page's commands in a new environment."""
    assert words[0] == "install"
    for extra in re.findall(r"(?:\.|rlhf_sweeps)\[(.*?)\]", " ".join(words)):
        assert extra in PYPROJECT["project"]["optional-dependencies"]
    assert "-c" not in words or (ROOT / words[words.index("-c") + 1]).exists()


def _compile(text: str) -> None:
    compile(text, "page", "exec")


READERS: dict[str, Callable[[str], Any]] = {
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
    "python": _compile,
    "text": str,
}
CHECKS: dict[tuple[str, ...], Callable[[list[str], Path], None]] = {
    ("python", "-m", "rlhf_sweeps"): _run,
    ("python", "-m", "rlhf_sweeps.reward_models"): _training,
    ("python", "-m", "rlhf_sweeps.sample"): _sample,
    ("python", "-m", "analysis"): _analysis,
    ("python", "-m", "pytest"): _pytest,
    ("python", "-m", "pip"): _pip,
    ("pip",): _pip,
}
