"""Commands that can be pasted into a shell: they continue the run or sweep of a folder, or run a setting again.

There are two levels of quotes: the shell reads a word, and Hydra's grammar reads the value in it. All commands that
this project prints are composed here.
"""

import contextlib
import itertools
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_sweeps.record.reading import as_mapping, read_bytes
from rlhf_sweeps.record.redaction import mask_words

# Texts that Hydra's grammar reads without quotes, and those among them that it reads as something else than a text.
_PLAIN = re.compile(r"(?=.*[A-Za-z/])[A-Za-z0-9_./]([A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?")
_OTHER = re.compile(r"true|false|null|nan|inf|[0-9._]+e-?[0-9._]+", re.IGNORECASE)
_QUOTE = re.compile(r"(\\*)('|$)")
_INTERPOLATION = re.compile(r"(\\*)\$\{")
# Overrides of Hydra that a single run does not use: the folder of a sweep, its sweeper and its launcher.
_OF_SWEEPS = ("hydra.mode", "hydra.run.dir", "hydra.sweep", "hydra/sweeper", "hydra.launcher", "hydra/launcher")
_FOLDERS = ("hydra.mode=", "hydra.run.dir=", "hydra.sweep.dir=")
# Hydra's flags that take no value; argparse accepts abbreviations of them, too.
_ALONE = ("-m", "-r", "--multirun", "--run")
_PACKAGE = Path(__file__).parents[1]
_MOST_FILES = 1000  # of a config directory; chosen


def write_command(*words: str) -> str:
    """The words as one line for a shell, quoted where necessary, with secrets masked."""
    return shlex.join(mask_words(words))


def fold_command(line: str, width: int) -> list[str]:
    """A command as several lines that a shell reads as one; none is longer than `width` unless quotes make it so."""
    lines, current = [], ""
    for word in shlex.split(line):
        if current and len(current) + 1 + len(shlex.join([word])) + 2 <= width:
            current += f" {shlex.join([word])}"
            continue
        lines += [f"{current} \\"] if current else []
        remainder = word
        while len(remainder) > 1 and len(shlex.join([remainder])) + 2 > width:
            # A shell joins quoted parts into one word if nothing stands between them.
            lengths = range(1, len(remainder))
            length = max((n for n in lengths if len(shlex.join([remainder[:n]])) + 1 <= width), default=1)
            lines.append(f"{shlex.join([remainder[:length]])}\\")
            remainder = remainder[length:]
        current = shlex.join([remainder])
    return [*lines, current]


def write_folder(folder: str | Path) -> str:
    """A folder as an argument that does not look like an option."""
    return f"./{folder}" if str(folder).startswith("-") else str(folder)


def write_override(key: str, value: str | Sequence[str]) -> str:
    """An override that sets a key to exactly this text, or list of texts; it is not quoted for a shell."""
    if isinstance(value, str):
        return f"{key}={_quote_for_hydra(value)}"
    return f"{key}=[{','.join(map(_quote_for_hydra, value))}]"


def write_continuation(
    words: Iterable[str], key: str, folder: str | Path, program: Sequence[str] = ("rlhf_sweeps",)
) -> str:
    """The command that continues the run or sweep in a folder.

    Args:
        words: the words of the command that began it.
        key: Hydra's key for the folder: hydra.run.dir or hydra.sweep.dir.
        program: the module, and the words that name its command.
    """
    others = [word for word in words if not word.lstrip("+").startswith(f"{key}=")]
    end = 1 + max((n for n in range(len(others)) if _is_override(others, n)), default=len(others) - 1)
    return write_command("python", "-m", *program, *others[:end], write_override(key, str(folder)), *others[end:])


def write_changed_sweep(words: Iterable[str], changes: Sequence[str]) -> str:
    """The command of a new sweep like an earlier one, with some overrides added or replaced.

    Args:
        words: of the earlier sweep's command, without its folder.
        changes: overrides, not quoted for a shell. A swept key replaces what hydra.sweeper.params has of it, too.
    """
    keys = {place + _read_key(change) for change in changes for place in ("", "hydra.sweeper.params.")}
    others = [word for word in words if "=" not in word or word.startswith("-") or _read_key(word) not in keys]
    end = 1 + max((n for n in range(len(others)) if _is_override(others, n)), default=len(others) - 1)
    return write_command("python", "-m", "rlhf_sweeps", *others[:end], *changes, *others[end:])


def _read_key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _is_override(words: Sequence[str], number: int) -> bool:
    """Whether a word of a command line is neither a flag nor a flag's value. Hydra wants all overrides in a row."""
    before = words[number - 1] if number else ""
    is_value = before.startswith("-") and "=" not in before and not any(flag.startswith(before) for flag in _ALONE)
    return not words[number].startswith("-") and not is_value


def read_words(hydra: Mapping[str, Any]) -> list[str]:
    """The words of a command line, as Hydra recorded them, without the folder of the run or sweep.

    Args:
        hydra: the part `hydra` of a composed config, as plain values; it may be empty.
    """
    overrides = [*_read_overrides(hydra, "task"), *_read_overrides(hydra, "hydra")]
    return [*_write_flags(hydra), *(word for word in overrides if not word.lstrip("+").startswith(_FOLDERS))]


def write_rerun(hydra: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """The command that runs a setting of a sweep as a single run, in a new folder.

    Args:
        hydra: the part `hydra` of the config of the run or of its sweep, as plain values; it may be empty. A run's
            part holds the job's number if the config refers to it.
        overrides: the run's overrides.
    """
    hydra_words = [word for word in _read_overrides(hydra, "hydra") if not word.lstrip("+~").startswith(_OF_SWEEPS)]
    task_words = [word for word in overrides if not is_search(word)]
    return write_command("python", "-m", "rlhf_sweeps", *_write_flags(hydra), *hydra_words, *task_words)


def is_search(word: str) -> bool:
    """Whether an override chooses a search, which has no meaning for a single run."""
    value = word.partition("=")[2].strip("'\"").lower()
    return _read_key(word) == "search" and not word.startswith("~") and value != "null"


def _write_flags(hydra: Mapping[str, Any]) -> list[str]:
    """Hydra's flags for the places of config files."""
    sources = as_mapping(hydra.get("runtime")).get("config_sources")
    words: list[str] = []
    for source in sources if isinstance(sources, list) else []:
        path = str(as_mapping(source).get("path"))
        if as_mapping(source).get("provider") == "main" and _differs_from_ours(path):
            words += ["--config-path", path]
        elif as_mapping(source).get("provider") == "command-line":
            words += ["--config-dir", path]
    name = as_mapping(hydra.get("job")).get("config_name")
    return words if name in (None, "config") else [*words, "--config-name", str(name)]


def _differs_from_ours(path: str) -> bool:
    """Whether the files of a config directory differ from those of our conf/, on whatever machine it was recorded."""
    own = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
    return (Path(path) / "config.yaml").is_file() and _read_files(Path(path)) != _read_files(own)


def _read_files(folder: Path) -> dict[Path, bytes]:
    """Path -> content of a config directory's files; their number is limited, since a record may name any folder."""
    paths = itertools.chain(folder.glob("*.yaml"), folder.glob("*/*.yaml"), folder.glob("*/*/*.yaml"))
    contents: dict[Path, bytes] = {}
    for path in itertools.islice(paths, _MOST_FILES):
        with contextlib.suppress(OSError):
            contents[path.relative_to(folder)] = read_bytes(path)
    return contents


def _read_overrides(hydra: Mapping[str, Any], group: str) -> list[str]:
    words = as_mapping(hydra.get("overrides")).get(group)
    return list(map(str, words)) if isinstance(words, list) else []


def _quote_for_hydra(text: str) -> str:
    r"""A text in Hydra's grammar: ${ is escaped for OmegaConf, backslashes where they stand before a quote."""
    text = _INTERPOLATION.sub(r"\1\1\\${", text)
    if _PLAIN.fullmatch(text) and not _OTHER.fullmatch(text):
        return text
    return f"'{_QUOTE.sub(lambda match: match[1] * 2 + match[2].replace(chr(39), chr(92) + chr(39)), text)}'"
