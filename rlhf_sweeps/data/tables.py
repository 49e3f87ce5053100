"""Rows of parquet files, of folders saved by `datasets`, and of everything that load_dataset reads."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data.constants import READER_BATCH
from rlhf_sweeps.data.locations import DataLocation
from rlhf_sweeps.data.rows import BadRows, Columns, Rows, check_columns
from rlhf_sweeps.wording import quote_message

_KINDS = {".json": "JSON", ".jsonl": "JSON", ".csv": "CSV", ".parquet": "parquet"}


def read_parquet(file: Path, given: str, columns: Columns, bad_rows: BadRows) -> Rows:
    """The required columns of a parquet file.

    Raises:
        ConfigError: if it is not a parquet file, is incomplete, or lacks a column.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(file)
        check_columns(columns, table.schema_arrow.names, given)
        batches = table.iter_batches(READER_BATCH, columns=list(columns.values()))
        for number, row in enumerate((row for batch in batches for row in _read_values(batch)), start=1):
            where = f"{given}, row {number}"
            if row is None:
                bad_rows.add(f"{where}: not UTF-8")
            else:
                yield where, row
    except (pyarrow.ArrowException, OSError) as error:
        raise ConfigError(f"{given}: cannot be read as parquet ({quote_message(error)})") from error


def _read_values(batch: Any) -> Iterator[Mapping[str, Any] | None]:
    """The rows of a batch as plain values; None for a row that is not UTF-8: parquet does not check that."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for number in range(batch.num_rows):
            try:
                yield batch.slice(number, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by save_to_disk of `datasets`."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def load_saved(place: DataLocation, folder: Path) -> Any:
    """The Dataset in a folder that save_to_disk wrote; if it has splits, the one that the location names.

    Raises:
        ConfigError: if it cannot be read or has no such split.
    """
    import datasets

    try:
        dataset = datasets.load_from_disk(str(folder))
    except Exception as error:  # an incomplete folder makes pyarrow and json raise errors of many kinds
        raise ConfigError(f"{place.given}: cannot be read as a saved folder ({quote_message(error)})") from error
    if isinstance(dataset, datasets.DatasetDict):
        if place.split not in dataset:
            raise place.make_split_error(", ".join(dataset))
        return dataset[place.split]
    place.check_needs_no_splits()
    return dataset


def load_by_name(place: DataLocation, folder: Path | None = None) -> Any:
    """The Dataset that load_dataset makes of a folder or, without one, of a hub id; no code from there is run.

    Raises:
        ConfigError: if it cannot be loaded.
    """
    import datasets

    datasets.disable_progress_bars()
    path = place.path if folder is None else str(folder)
    if folder is not None:
        _check_one_kind(place, folder)
    try:
        return datasets.load_dataset(path, place.subset, split=place.split, revision=place.revision)
    except Exception as error:  # datasets raises many kinds: no network, no such id, no such split
        raise _explain_refusal(place, folder, error) from error


def _check_one_kind(place: DataLocation, folder: Path) -> None:
    """Refuse a folder with files of several kinds: load_dataset would read the most frequent kind only."""
    from datasets.data_files import FILES_TO_IGNORE

    if (folder / "README.md").is_file():  # it may tell load_dataset what to read
        return
    files = [file for file in folder.rglob("*") if not file.name.startswith(".") and file.name not in FILES_TO_IGNORE]
    if len(kinds := sorted({_KINDS[file.suffix] for file in files if file.suffix in _KINDS})) > 1:
        raise ConfigError(
            f"{place.given}: must hold files of one kind, has {', '.join(kinds)} (dataset=mixture takes several)"
        )


def _explain_refusal(place: DataLocation, folder: Path | None, error: Exception) -> ConfigError:
    # For a broken file, only the cause of the error says what is broken.
    reason = quote_message(error.__cause__ if isinstance(error.__cause__, Exception) else error)
    if unknown := re.match(r"Unknown split .*\[(.*?)\]", reason):
        return place.make_split_error(unknown[1].replace("'", ""))
    if unknown := re.match(r"BuilderConfig .* not found\. Available: \[(.*?)\]", reason):
        allowed = unknown[1].replace("'", "")
        return ConfigError(f"{place.key}.subset={place.subset}: {place.given} has no such subset (allowed: {allowed})")
    problem = "neither a local file nor available on the hub" if folder is None else "holds no data that can be read"
    return ConfigError(f"{place.given}: {problem} ({reason})")


def read_dataset(dataset: Any, given: str, columns: Columns) -> Rows:
    """The required columns of a `datasets.Dataset`.

    Raises:
        ConfigError: if it lacks a column, or its files are broken.
    """
    from pyarrow import ArrowException

    check_columns(columns, dataset.column_names, given)
    # A saved folder keeps the format that it was saved with, such as numpy arrays or torch tensors.
    plain = dataset.select_columns(list(columns.values())).with_format(None)
    try:
        rows = (
            dict(zip(batch, cells, strict=True))
            for batch in plain.iter(READER_BATCH)
            for cells in zip(*batch.values(), strict=True)
        )
        for number, row in enumerate(rows, start=1):
            yield f"{given}, row {number}", row
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{given}: cannot be read ({quote_message(error)})") from error
