"""Run a module as a command that ends with the process that started it: `python -m ...companion PROCESS MODULE ...`.

PROCESS is the id of that process. When it ends, in whatever way, nobody waits for this command any more.
"""

import os
import runpy
import sys
import threading
import time

from rlhf_sweeps.platforms import system

SECONDS_BETWEEN_CHECKS = 0.5  # whether the starter still runs; chosen


def main() -> None:
    """Run the module with the remaining arguments, as `python -m` does."""
    starter, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_end_with, args=(starter,), daemon=True).start()
    del sys.argv[:2]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with(starter: int) -> None:
    # Windows still names a parent that has ended; elsewhere a dead process exists until its status is read.
    while os.getppid() == starter and system.is_running(starter):
        time.sleep(SECONDS_BETWEEN_CHECKS)
    os._exit(1)


if __name__ == "__main__":
    main()
