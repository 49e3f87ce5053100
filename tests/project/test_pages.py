"""The pages are true: links and pictures lead somewhere, and every command on a page can be given as it stands."""

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from helpers.page_commands import check_run, check_sweep, check_training, words_of
from helpers.pages import PAGES, anchors, blocks, commands, links

from analysis.command import _parser
from rlhf_sweeps.cli import conf_dir

README = ROOT / "README.md"
# Commands that no test here can try, and what does.
UNTRIED = {
    "python -m pip install -e . -c constraints.txt": "needs an index: .ci/run gives it in a new environment",
    "python -m pip install -e '.[dev]' -c constraints.txt": "needs an index: .ci/run gives it in a new environment",
    "python -m venv": "makes an environment, as .ci/run does",
    "source ": "uses an environment, as .ci/run does",
    "git ": "needs another repository",
    "pip install -e '.[": "needs an index; test_extras_of_pip says whether there is such an extra",
    "ruff ": ".ci/run gives it",
    "mypy": ".ci/run gives it",
    ".ci/run": "is the check of main itself",
    ".ci/pictures": "draws with a browser; test_pictures says which files it must have written",
    "optuna-dashboard ": "tests/rlhf_sweeps/sweep/study/test_dashboard.py opens it",
    "wandb sync": "sends to W&B's server",
    "cd ": "counts for the lines after it",
}
PYTHON_FILES = re.compile(r"python(?: -m)? (tests[./]\S+|rlhf_sweeps\.assets\S*)")


def test_every_link_leads_to_a_file_and_to_a_heading_in_it() -> None:
    found = [link for page in PAGES for link in links(page)]
    assert [link for link in found if not link.path.exists()] == []
    headings = {page: anchors(page) for page in {link.path for link in found if link.anchor}}
    assert [link for link in found if link.anchor and link.anchor not in headings[link.path]] == []
    assert len(found) > 20


def test_the_first_page_is_short_and_has_pictures() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 160
    assert [line for line in lines if len(line) > 120] == []
    pictures = {link.path for link in links(README) if link.is_picture}
    assert len(pictures) >= 2
    assert [path for path in pictures if path.stat().st_size > 300_000] == []


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
    """The working directory of a reader who has what pages take for granted: a choice of the group reward_model."""
    file = tmp_path / "own" / "reward_model" / "my_own.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("defaults: [length, _self_]\nname: my_own\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own"


def test_every_command_can_be_given(own_files: Path) -> None:
    problems = []
    for page, command in dict.fromkeys((page, command) for page, command in commands()):
        try:
            try_command(command, own_files)
        except (Exception, SystemExit) as error:
            problems.append(f"{page}: {command}: {error}")
    assert problems == []


def try_command(command: str, own_files: Path) -> None:
    """Give a command as far as that takes no model and no network; raises what is wrong with it."""
    words = words_of(command)
    start = next((start for start in CHECKS if tuple(words[: len(start)]) == start), None)
    if start is not None:
        CHECKS[start](words[len(start) :], own_files)
    elif match := PYTHON_FILES.match(command):
        name = match[1] if match[1].endswith(".py") else match[1].replace(".", "/")
        assert any((ROOT / path).exists() for path in (name, f"{name}.py")), "no such file"
    else:
        assert command.startswith(tuple(UNTRIED)), "neither tried nor among UNTRIED"


def _run(words: list[str], own_files: Path) -> None:
    given = ["--config-dir", str(own_files), *words]
    (check_sweep if {"-m", "--multirun"} & {*words} else check_run)(given)


def _training(words: list[str], own_files: Path) -> None:
    if words:
        assert words[0] == "train"
        check_training(["--config-dir", str(own_files), *words[1:]])


def _sample(words: list[str], own_files: Path) -> None:
    from rlhf_sweeps import sample

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "_serve", lambda options: None)
        if words:
            sample.main(words)


def _analysis(words: list[str], own_files: Path) -> None:
    if words:
        _parser().parse_args(words)


def _pytest(words: list[str], own_files: Path) -> None:
    paths = [word.partition("::")[0] for word in words if "/" in word or word.endswith(".py")]
    folders = (ROOT, ROOT / "tests", ROOT / "tests" / "rlhf_sweeps")  # where pages say `cd`
    assert [path for path in paths if not any((folder / path).exists() for folder in folders)] == []
    marks = " ".join(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"])
    if "-m" in words:
        assert words[words.index("-m") + 1] in marks


CHECKS: dict[tuple[str, ...], Callable[[list[str], Path], None]] = {
    ("python", "-m", "rlhf_sweeps"): _run,
    ("python", "-m", "rlhf_sweeps.reward_models"): _training,
    ("python", "-m", "rlhf_sweeps.sample"): _sample,
    ("python", "-m", "analysis"): _analysis,
    ("python", "-m", "pytest"): _pytest,
}
