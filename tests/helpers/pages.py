"""What stands on the pages of this repository: links, headings, code blocks and the commands in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT

# Model cards of runs, and what building leaves, are not pages of the repository; the page in outputs/ itself is one.
_FOREIGN = {"dist", "build"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in _FOREIGN or part.startswith(".") for part in path.relative_to(ROOT).parts)
    and (path.relative_to(ROOT).parts[0] != "outputs" or path.parent == ROOT / "outputs")
)
_FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)\s*$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?P<text>(?:    [^\n]*\n|\n(?=    ))+)")
_LINK = re.compile(r"(?P<is_picture>!?)\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)\)")
_PROGRAMS = ("python ", "pip ", "ruff ", "mypy", "git ", "source ", "cd ", "optuna-dashboard ", "wandb ", ".ci/")


@dataclass(frozen=True)
class Block:
    """A code block of a page; its language is empty where the page names none."""

    page: str
    language: str
    text: str

    @property
    def is_shell(self) -> bool:
        """Whether a reader pastes it into a shell; other blocks without a language show output or files."""
        return self.language in ("sh", "bash") or (not self.language and self.text.startswith(_PROGRAMS))


@dataclass(frozen=True)
class Link:
    """A link within the repository, or a picture: a file from the page's folder, and a heading in that file."""

    page: Path
    file: str
    anchor: str
    is_picture: bool

    @property
    def path(self) -> Path:
        """The file that it leads to."""
        return self.page.parent / self.file if self.file else self.page


def links(page: Path) -> list[Link]:
    """All links of a page but those to other hosts."""
    targets = [
        (match["target"], bool(match["is_picture"])) for match in _LINK.finditer(_prose(page.read_text("utf-8")))
    ]
    return [
        Link(page, *target.partition("#")[::2], is_picture)
        for target, is_picture in targets
        if not re.match(r"[a-z]+:", target)
    ]


def anchors(page: Path) -> set[str]:
    """The names under which a host such as GitHub lets other pages link to a page's headings."""
    names: set[str] = set()
    for title in re.findall(r"^#+ +(.+?) *#*$", _FENCE.sub("", page.read_text("utf-8")), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]|\]\([^)]*\)", "", title).lower()).replace(" ", "-")
        number = next(n for n in range(len(names) + 1) if (f"{name}-{n}" if n else name) not in names)
        names.add(f"{name}-{number}" if number else name)
    return names


def paths(page: Path) -> list[str]:
    """The files and folders that running text names, as patterns from the root of the repository or from the page.

    A room of a single file stands there without its suffix; NAME is a name to fill in.
    """
    text = re.sub(r"^    .*$", "", _FENCE.sub("", page.read_text("utf-8")), flags=re.MULTILINE)
    names = re.findall(r"`((?:rlhf_sweeps|analysis|conf|tests|\.ci)/[\w./*-]*)`", text)
    return [name.replace("NAME", "*") for name in names]


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page, fenced ones and indented ones."""
    name, text = page.relative_to(ROOT).as_posix(), page.read_text("utf-8")
    fenced = [Block(name, match["language"], match["text"]) for match in _FENCE.finditer(text)]
    indented = [
        Block(name, "", re.sub(r"^    ", "", match["text"], flags=re.MULTILINE))
        for match in _INDENTED.finditer(_FENCE.sub("", text))
    ]
    return fenced + indented


def commands() -> list[tuple[str, str]]:
    """Page and command, of all shell blocks and of all commands in running text."""
    return [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in _commands_of(page)]


def _commands_of(page: Path) -> Iterator[str]:
    for block in blocks(page):
        if block.is_shell:
            for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
                yield from (part.strip() for part in re.sub(r"\s#\s.*$", "", line).split(" && ") if part.strip())
    prose = re.sub(r"^    .*$", "", _FENCE.sub("", page.read_text("utf-8")), flags=re.MULTILINE)
    for span in re.findall(r"`([^`]+)`", prose):
        if (line := " ".join(span.split())).startswith(("python ", "pip install ")):
            yield line


def _prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"`[^`]*`", "`code`", re.sub(r"^    .*$", "", _FENCE.sub("", text), flags=re.MULTILINE))
