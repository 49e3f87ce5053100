"""A module as a command that does not outlive a process: `python -m ...companion PROCESS MODULE ...`.

PROCESS is the number of the one that starts it. However that ends, nobody waits for this one any more.
"""

import os
import runpy
import sys
import threading
import time

from rlhf_sweeps.platforms import system

SECONDS_BETWEEN_LOOKS = 0.5


def main() -> None:
    """Run the module with the arguments that are left, as `python -m` does."""
    starter, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_end_with, args=(starter,), daemon=True).start()
    del sys.argv[:2]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with(starter: int) -> None:
    # Windows goes on naming a parent that is gone; elsewhere the dead are there until somebody has asked for them.
    while os.getppid() == starter and system.is_running(starter):
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)


if __name__ == "__main__":
    main()
