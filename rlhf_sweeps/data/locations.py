"""The location of rows: a file, a folder or a hub id, a split of it, and the config keys that name them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.files.sources import EMBEDDED, locate


@dataclass(frozen=True)
class DataLocation:
    """The location of the rows to train on, of those to hold out, or of the confirming ones.

    Attributes:
        key: the key of the data set, for errors.
        path_key: path, eval_path or confirm_path, below `key`.
        split: the split of a hub id or a folder.
        split_key: split, eval_split or confirm_split, below `key`.
        is_split_asked_for: False if `split` is the default, which does not matter for a file.
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
        """The key and value that name the location, for errors."""
        return f"{self.key}.{self.path_key}={self.path}"

    def locate(self) -> Path | None:
        """The local file or folder; None for an id on the hub.

        Raises:
            ConfigError: if it is neither.
        """
        return locate(self.path, f"{self.key}.{self.path_key}")

    def make_split_error(self, allowed: str) -> ConfigError:
        """The error for a split that does not exist."""
        return ConfigError(
            f"{self.key}.{self.split_key}={self.split}: {self.given} has no such split (allowed: {allowed})"
        )

    def check_needs_no_splits(self) -> None:
        """Refuse a split of a file, which has none: the whole file would be held out.

        Raises:
            ConfigError: if the user asked for a split.
        """
        if self.is_split_asked_for:
            raise ConfigError(
                f"{self.key}.{self.split_key}={self.split}: {self.given} has no splits; "
                f"a file or folder of such rows can be named by {self.key}.{self.split_key.replace('split', 'path')}"
            )


def locate_training_rows(dataset: DatasetConfig, key: str) -> DataLocation:
    """The location of a data set's own rows."""
    assert dataset.path is not None  # only a mixture has none
    return DataLocation(key, "path", dataset.path, "split", dataset.split, False, dataset.subset, dataset.revision)


def locate_held_out_rows(dataset: DatasetConfig, key: str) -> DataLocation | None:
    """The location of the held-out rows; None if they are chosen from the data set's own rows."""
    return _locate_part(dataset, key, "eval", dataset.eval_path, dataset.eval_split)


def locate_confirming_rows(dataset: DatasetConfig, key: str) -> DataLocation | None:
    """The location of the confirming rows; None if they are among the held-out rows.

    An embedded file confirms only what is trained and evaluated on embedded data.
    """
    others = [path for path in (dataset.path, dataset.eval_path) if path is not None and not path.startswith(EMBEDDED)]
    if others and dataset.confirm_path is not None and dataset.confirm_path.startswith(EMBEDDED):
        return None
    return _locate_part(dataset, key, "confirm", dataset.confirm_path, dataset.confirm_split)


def _locate_part(
    dataset: DatasetConfig, key: str, part: str, own_path: str | None, own_split: str | None
) -> DataLocation | None:
    if own_path is None and own_split is None:
        return None
    path_key, path = ("path", dataset.path) if own_path is None else (f"{part}_path", own_path)
    assert path is not None
    split, is_asked_for = own_split or dataset.split, own_split is not None
    return DataLocation(key, path_key, path, f"{part}_split", split, is_asked_for, dataset.subset, dataset.revision)


def list_files(dataset: DatasetConfig, key: str = "dataset") -> Iterator[Path]:
    """The local files of a data set or a mixture; data sets on the hub have none.

    Raises:
        ConfigError: if a file does not exist.
    """
    for number, source in enumerate(dataset.sources):
        yield from list_files(source, f"{key}.sources[{number}]")
    locators = () if dataset.sources else (locate_training_rows, locate_held_out_rows, locate_confirming_rows)
    for place in filter(None, (find(dataset, key) for find in locators)):
        located = place.locate()
        if located is not None:
            yield from (file for file in sorted([located, *located.rglob("*")]) if file.is_file())
