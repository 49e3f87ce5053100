"""The choice of a reader by the kind of location."""

from collections.abc import Callable
from pathlib import Path

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data import tables, text_files
from rlhf_sweeps.data.locations import DataLocation
from rlhf_sweeps.data.rows import BadRows, Columns, Rows
from rlhf_sweeps.wording import quote_message

_FILES: dict[str, Callable[[Path, str, Columns, BadRows], Rows]] = {
    ".jsonl": text_files.read_json_lines,
    ".json": text_files.read_json,
    ".csv": text_files.read_csv,
    ".parquet": tables.read_parquet,
}


def read_rows(place: DataLocation, columns: Columns, bad_rows: BadRows) -> Rows:
    """The rows at a location, reduced to these columns, in order.

    Raises:
        ConfigError: if it cannot be read, or if a row cannot be read and bad rows are refused.
    """
    located = place.locate()
    if located is None:
        yield from tables.read_dataset(tables.load_by_name(place), place.given, columns)
    elif located.is_dir():
        saved = tables.is_saved(located)
        dataset = tables.load_saved(place, located) if saved else tables.load_by_name(place, located)
        yield from tables.read_dataset(dataset, place.given, columns)
    else:
        yield from _read_file(located, place, columns, bad_rows)


def _read_file(file: Path, place: DataLocation, columns: Columns, bad_rows: BadRows) -> Rows:
    read = _FILES.get(file.suffix.lower())
    if read is None:
        raise ConfigError(f"{place.given}: must be a file that ends on {', '.join(_FILES)}, a folder or a hub id")
    place.check_needs_no_splits()
    try:
        yield from read(file, place.given, columns, bad_rows)
    except OSError as error:
        raise ConfigError(f"{place.given}: cannot be read ({quote_message(error)})") from error
