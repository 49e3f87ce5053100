"""Commands that work when they are pasted into a shell: to go on with what a folder holds, to run a setting again.

Two quotings lie one in the other: Hydra's grammar reads a value, the shell the word around it. No command is put
together elsewhere.
"""

import contextlib
import itertools
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_sweeps.record.reading import as_mapping, read_bytes
from rlhf_sweeps.record.redaction import masked_words

# What Hydra's grammar takes for a text as it stands, and what in there it takes for something else.
_PLAIN = re.compile(r"(?=.*[A-Za-z/])[A-Za-z0-9_./]([A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?")
_OTHER = re.compile(r"true|false|null|nan|inf|[0-9._]+e-?[0-9._]+", re.IGNORECASE)
_QUOTE = re.compile(r"(\\*)('|$)")
_INTERPOLATION = re.compile(r"(\\*)\$\{")
# Of what Hydra was told, what a run on its own has no use for: where a sweep lies, and how it goes about it.
_OF_SWEEPS = ("hydra.mode", "hydra.run.dir", "hydra.sweep", "hydra/sweeper", "hydra.launcher", "hydra/launcher")
_FOLDERS = ("hydra.mode=", "hydra.run.dir=", "hydra.sweep.dir=")
# Hydra's flags for a training that take no value; argparse knows beginnings of them, too.
_ALONE = ("-m", "-r", "--multirun", "--run")
_PACKAGE = Path(__file__).parents[1]
_MOST_FILES = 1000  # of a config directory


def command(*words: str) -> str:
    """Words as a line of a shell, each arriving as it is, but for secrets, which are masked."""
    return shlex.join(masked_words(words))


def folded(line: str, width: int) -> list[str]:
    """A command as lines that a shell takes for one, of at most so many characters where quotes leave room for one."""
    lines, current = [], ""
    for word in shlex.split(line):
        if current and len(current) + 1 + len(shlex.join([word])) + 2 <= width:
            current += f" {shlex.join([word])}"
            continue
        lines += [f"{current} \\"] if current else []
        remainder = word
        while len(remainder) > 1 and len(shlex.join([remainder])) + 2 > width:
            # Parts of a word, each quoted for itself, are one word where nothing is between them.
            lengths = range(1, len(remainder))
            length = max((n for n in lengths if len(shlex.join([remainder[:n]])) + 1 <= width), default=1)
            lines.append(f"{shlex.join([remainder[:length]])}\\")
            remainder = remainder[length:]
        current = shlex.join([remainder])
    return [*lines, current]


def place(folder: str | Path) -> str:
    """A folder as an argument of its own, which must not look like an option."""
    return f"./{folder}" if str(folder).startswith("-") else str(folder)


def override(key: str, value: str | Sequence[str]) -> str:
    """An override by which Hydra gives a key just this text, or these texts; not quoted for a shell."""
    if isinstance(value, str):
        return f"{key}={_hydra_text(value)}"
    return f"{key}=[{','.join(map(_hydra_text, value))}]"


def go_on(words: Iterable[str], key: str, folder: str | Path) -> str:
    """The command that goes on in a folder.

    Args:
        words: those that it was begun with.
        key: of Hydra, for the folder: hydra.run.dir or hydra.sweep.dir.
    """
    others = [word for word in words if not word.lstrip("+").startswith(f"{key}=")]
    end = 1 + max((n for n in range(len(others)) if _is_override(others, n)), default=len(others) - 1)
    return command("python", "-m", "rlhf_sweeps", *others[:end], override(key, str(folder)), *others[end:])


def _is_override(words: Sequence[str], number: int) -> bool:
    """Whether one of a command line's words is no flag, nor a flag's value. Hydra takes overrides in a row only."""
    before = words[number - 1] if number else ""
    is_value = before.startswith("-") and "=" not in before and not any(flag.startswith(before) for flag in _ALONE)
    return not words[number].startswith("-") and not is_value


def words_of(hydra: Mapping[str, Any]) -> list[str]:
    """The words of a command line, as Hydra's record of it has them, the run's or sweep's folder apart.

    Args:
        hydra: the part `hydra` of a composed config, as plain values; it may be empty.
    """
    overrides = [*_told(hydra, "task"), *_told(hydra, "hydra")]
    return [*_flags(hydra), *(word for word in overrides if not word.lstrip("+").startswith(_FOLDERS))]


def run_again(hydra: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """The command that runs a setting of a sweep on its own, in a new folder.

    Args:
        hydra: the part `hydra` of the run's config, which holds the job's number where the config asks for it, or of
            the sweep's, as plain values; it may be empty.
        overrides: of the run.
    """
    hydra_words = [word for word in _told(hydra, "hydra") if not word.lstrip("+~").startswith(_OF_SWEEPS)]
    return command("python", "-m", "rlhf_sweeps", *_flags(hydra), *hydra_words, *overrides)


def _flags(hydra: Mapping[str, Any]) -> list[str]:
    """Hydra's flags for where configs are looked for."""
    sources = as_mapping(hydra.get("runtime")).get("config_sources")
    words: list[str] = []
    for source in sources if isinstance(sources, list) else []:
        path = str(as_mapping(source).get("path"))
        if as_mapping(source).get("provider") == "main" and _is_other(path):
            words += ["--config-path", path]
        elif as_mapping(source).get("provider") == "command-line":
            words += ["--config-dir", path]
    name = as_mapping(hydra.get("job")).get("config_name")
    return words if name in (None, "config") else [*words, "--config-name", str(name)]


def _is_other(path: str) -> bool:
    """Whether a config directory holds something else than ours does, wherever the record was made."""
    own = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
    return (Path(path) / "config.yaml").is_file() and _files(Path(path)) != _files(own)


def _files(folder: Path) -> dict[Path, bytes]:
    """A config directory's files; a record may name any folder, so not many are looked at."""
    paths = itertools.chain(folder.glob("*.yaml"), folder.glob("*/*.yaml"), folder.glob("*/*/*.yaml"))
    contents: dict[Path, bytes] = {}
    for path in itertools.islice(paths, _MOST_FILES):
        with contextlib.suppress(OSError):
            contents[path.relative_to(folder)] = read_bytes(path)
    return contents


def _told(hydra: Mapping[str, Any], group: str) -> list[str]:
    words = as_mapping(hydra.get("overrides")).get(group)
    return list(map(str, words)) if isinstance(words, list) else []


def _hydra_text(text: str) -> str:
    r"""A text in Hydra's grammar: ${ is escaped for OmegaConf, backslashes where they stand before a quote."""
    text = _INTERPOLATION.sub(r"\1\1\\${", text)
    if _PLAIN.fullmatch(text) and not _OTHER.fullmatch(text):
        return text
    return f"'{_QUOTE.sub(lambda match: match[1] * 2 + match[2].replace(chr(39), chr(92) + chr(39)), text)}'"
