"""Batch sizes that shrink when memory does not suffice."""

import ctypes
import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
log = logging.getLogger("rlhf_sweeps")


class Halving:
    """A number of sequences that work is done on at once; halved, for good, whenever they do not fit.

    Args:
        key: the setting it starts from, for the log.
    """

    def __init__(self, key: str, size: int) -> None:
        self.key = key
        self.size = size

    def run(self, work: Callable[[int], T]) -> T:
        """The result of work(size), which must do all of it again when called with another size.

        Raises:
            torch.OutOfMemoryError: if not even one sequence fits (or what the platform raises in its place).
        """
        while True:
            try:
                return work(self.size)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.size == 1:
                    raise
            # Out of the except clause, whose traceback keeps the tensors alive.
            self.size //= 2
            log.warning("out of memory: %s is %d from here on; the numbers stay the same", self.key, self.size)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, for the next tensor, instead of giving it back to the system.

    Else every page of every large tensor is faulted in anew. Does nothing where there is no glibc.
    """
    trim_threshold, mmap_threshold = -1, -3  # glibc's malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(mmap_threshold, 2**30)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says so; torch raises a plain RuntimeError where a CPU allocation fails."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
