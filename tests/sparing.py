"""What a test process does once where users' processes do it once each: YAML of conf/, Optuna's migrations, the disk.

Nothing of it is ours, and nothing of it is what a test looks at; together it took a third of the suite's time.
"""

import copy
import functools
import os
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.plugins.config_source import ConfigResult

from rlhf_sweeps.cli import conf_dir


def spare() -> None:
    """From here on, in this process."""
    _parse_once()
    _find_migrations_once()
    os.fsync = lambda handle: None  # nobody pulls the plug here; tests of that have a disk of their own


def _parse_once() -> None:
    """Hydra parses a file for each composition that it takes part in; a copy of the first result is the same."""
    load = FileConfigSource.load_config
    results: dict[tuple[str, int], ConfigResult] = {}

    def load_once(self: FileConfigSource, config_path: str) -> ConfigResult:
        name = self._normalize_file_name(config_path)
        path = Path(self.path, name)
        if self.path != conf_dir() or not path.is_file():
            return load(self, config_path)
        key = (str(path), path.stat().st_mtime_ns)
        if key not in results:
            results[key] = load(self, config_path)
        found = copy.copy(results[key])
        found.config = copy.deepcopy(found.config)
        return found

    FileConfigSource.load_config = load_once


def _find_migrations_once() -> None:
    """Alembic imports each of Optuna's migrations for each database that is opened, and makes the same of them."""
    find = ScriptDirectory.from_config
    found: dict[Any, ScriptDirectory] = {}

    @functools.wraps(find)
    def find_once(config: Any) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in found:
            found[place] = find(config)
        return found[place]

    ScriptDirectory.from_config = find_once  # type: ignore[method-assign,assignment]
