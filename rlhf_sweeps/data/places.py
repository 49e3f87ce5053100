"""Where rows are: a file, a folder or a hub id, which split of it, and the config keys that said so."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.files.sources import locate


@dataclass(frozen=True)
class Place:
    """Rows to train on or to hold out.

    Attributes:
        key: what stands before the data set's keys in errors.
        path_key: path or eval_path, after `key`.
        split: of a hub id or a folder.
        split_key: split or eval_split, after `key`.
        is_split_asked_for: false where `split` is but the default, which a file need not heed.
    """

    key: str
    path_key: str
    path: str
    split_key: str
    split: str
    is_split_asked_for: bool
    subset: str | None
    revision: str | None

    @property
    def given(self) -> str:
        """How errors call it."""
        return f"{self.key}.{self.path_key}={self.path}"

    def locate(self) -> Path | None:
        """The local file or folder; None where it is an id on the hub.

        Raises:
            ConfigError: if it is neither.
        """
        return locate(self.path, f"{self.key}.{self.path_key}")

    def no_such_split(self, allowed: str) -> ConfigError:
        """The error for a split that is not among the allowed ones."""
        return ConfigError(
            f"{self.key}.{self.split_key}={self.split}: {self.given} has no such split (allowed: {allowed})"
        )

    def check_needs_no_splits(self) -> None:
        """Refuse a split of something that has none: it would be held out as a whole.

        Raises:
            ConfigError: if one was asked for.
        """
        if self.is_split_asked_for:
            raise ConfigError(
                f"{self.key}.{self.split_key}={self.split}: {self.given} has no splits; "
                f"what is to be held out can be a file or folder of its own ({self.key}.eval_path)"
            )


def training_place(dataset: DatasetConfig, key: str) -> Place:
    """Where a data set's own rows are."""
    assert dataset.path is not None  # only a mixture has none
    return Place(key, "path", dataset.path, "split", dataset.split, False, dataset.subset, dataset.revision)


def held_out_place(dataset: DatasetConfig, key: str) -> Place | None:
    """Where the rows are that are held out; None if they are to be chosen among the data set's own."""
    if dataset.eval_path is None and dataset.eval_split is None:
        return None
    path_key, path = ("path", dataset.path) if dataset.eval_path is None else ("eval_path", dataset.eval_path)
    assert path is not None
    split, is_asked_for = dataset.eval_split or dataset.split, dataset.eval_split is not None
    return Place(key, path_key, path, "eval_split", split, is_asked_for, dataset.subset, dataset.revision)


def files_of(dataset: DatasetConfig, key: str = "dataset") -> Iterator[Path]:
    """The local files that a data set or a mixture is read from; none for what is on the hub.

    Raises:
        ConfigError: if one is not there.
    """
    for number, source in enumerate(dataset.sources):
        yield from files_of(source, f"{key}.sources[{number}]")
    places = () if dataset.sources else (training_place(dataset, key), held_out_place(dataset, key))
    for place in filter(None, places):
        located = place.locate()
        if located is not None:
            yield from (file for file in sorted([located, *located.rglob("*")]) if file.is_file())
