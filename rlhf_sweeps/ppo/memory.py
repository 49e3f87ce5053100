"""Batch sizes that shrink when memory runs out.

On a GPU an allocation fails when memory is full. On a CPU the operating system would kill the process instead; so,
during each step, the process is limited to the available memory, and an allocation fails there, too.
"""

import contextlib
import ctypes
import errno
import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from rlhf_sweeps.config.fields import TooLargeError
from rlhf_sweeps.platforms import system
from rlhf_sweeps.platforms.memory import room
from rlhf_sweeps.ppo.constants import KEEPING_THRESHOLD, RETURNING_THRESHOLD

T = TypeVar("T")
# Parts of the messages of torch, its matrix products and the C++ library when an allocation fails.
SIGNS = (
    "can't allocate memory",
    "Cannot allocate memory",
    "bad_alloc",
    "could not create a primitive",
    "can't start new thread",
)
log = logging.getLogger("rlhf_sweeps")


class BatchSize:
    """The number of sequences in a batch; it is halved, and stays so, whenever memory runs out.

    Args:
        key: the setting that the size comes from, for the log.
    """

    def __init__(self, key: str, size: int) -> None:
        self.key = key
        self.size = size

    def run(self, work: Callable[[int], T]) -> T:
        """The result of work(size); when memory runs out, `work` is called again with half the size, and starts over.

        Raises:
            TooLargeError: if not even one sequence fits.
        """
        while self.size > 1:
            try:
                with _limit_memory():
                    return work(self.size)
            except (RuntimeError, MemoryError, OSError) as error:
                if not is_out_of_memory(error):
                    raise
            # Not within the except clause, whose traceback keeps the tensors alive.
            self.size //= 2
            log.warning(
                "out of memory%s: %s is %d from here on; the numbers stay the same",
                _describe_room(),
                self.key,
                self.size,
            )
            keep_nothing()
        with require_memory(f"{self.key}=1", "a smaller model or shorter sequences"):
            return work(1)


@contextlib.contextmanager
def require_memory(given: str, remedy: str) -> Iterator[None]:
    """Within this context, running out of memory raises an error that names a setting.

    Args:
        given: key and value of the setting.
        remedy: what the setting must be instead, for the message.

    Raises:
        TooLargeError: if memory runs out.
    """
    try:
        with _limit_memory():
            yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        reason = _describe_room() or "".join(f" ({line})" for line in str(error).splitlines()[:1])
        raise TooLargeError(f"{given}: out of memory{reason}; must be {remedy}, or a machine with more") from error


@contextlib.contextmanager
def _limit_memory() -> Iterator[None]:
    """Limit this process to the available memory, if that is known and no GPU is in use."""
    most = None if torch.cuda.is_initialized() else room.most_data()
    with contextlib.nullcontext() if most is None else system.data_limit(most):
        yield


def _describe_room() -> str:
    """The limit of memory in words; empty if it is unknown, or a GPU is in use."""
    if torch.cuda.is_initialized() or room.total is None:
        return ""
    return f" (more is needed than the {room.total / 2**30:.1f} GiB that this process may have)"


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next tensor, instead of returning it to the system.

    Otherwise every new large tensor causes page faults for all its pages. This does nothing without glibc, nor if the
    user limits memory: freed memory that is kept counts against the limit.
    """
    if system.is_limited_by_the_user():
        return
    trim_threshold, mmap_threshold = -1, -3  # glibc's malloc.h
    with _load_glibc() as library:
        library.mallopt(trim_threshold, 2**31 - 1)
        library.mallopt(mmap_threshold, KEEPING_THRESHOLD)


def give_back_memory() -> None:
    """Return freed memory that was kept to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with _load_glibc() as library:
        library.malloc_trim(0)


def keep_nothing() -> None:
    """Return the memory of every large tensor to the system as soon as it is freed.

    Kept memory is fragmented, so that a tensor of another size may not fit into it, and other processes may need it.
    """
    mmap_threshold = -3
    give_back_memory()
    with _load_glibc() as library:
        library.mallopt(mmap_threshold, RETURNING_THRESHOLD)
        library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        room.set_aside(lambda size: library.malloc(size) is not None)


@contextlib.contextmanager
def _load_glibc() -> Iterator[Any]:
    """The C library; if it is not glibc, calls of missing functions are ignored."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        yield ctypes.CDLL(None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; torch raises a plain RuntimeError if a CPU allocation fails."""
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS))
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    )
