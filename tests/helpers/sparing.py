"""What a test process does once where users' processes do it once each: Optuna's migrations; and no disk is waited for.

Nothing of it is ours, and nothing of it is what a test looks at.
"""

import os
from typing import Any

from alembic.script import ScriptDirectory


def spare() -> None:
    """From here on, in this process."""
    _find_migrations_once()
    os.fsync = lambda handle: None  # nobody pulls the plug here; tests of that have a disk of their own


def _find_migrations_once() -> None:
    """Alembic imports each of Optuna's migrations for each database that is opened, and makes the same of them."""
    find = ScriptDirectory.from_config
    found: dict[Any, ScriptDirectory] = {}

    def find_once(config: Any) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in found:
            found[place] = find(config)
        return found[place]

    ScriptDirectory.from_config = find_once  # type: ignore[method-assign,assignment]
