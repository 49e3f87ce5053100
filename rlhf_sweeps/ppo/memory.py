"""Batch sizes that shrink when memory does not suffice.

A GPU says when its memory is full. On a CPU the system would kill the process, without a word; so what the process may
take is limited, for as long as a step runs, to what there is, and an allocation fails there, too.
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
# What torch, its matrix products and the C++ library say in a plain RuntimeError.
SIGNS = (
    "can't allocate memory",
    "Cannot allocate memory",
    "bad_alloc",
    "could not create a primitive",
    "can't start new thread",
)
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
            TooLargeError: if not even one sequence fits.
        """
        while self.size > 1:
            try:
                with _bounded():
                    return work(self.size)
            except (RuntimeError, MemoryError, OSError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out of the except clause, whose traceback keeps the tensors alive.
            self.size //= 2
            log.warning(
                "out of memory%s: %s is %d from here on; the numbers stay the same", _room(), self.key, self.size
            )
            keep_nothing()
        with fitting(f"{self.key}=1", "a smaller model or shorter sequences"):
            return work(1)


@contextlib.contextmanager
def fitting(given: str, remedy: str) -> Iterator[None]:
    """Have what does not fit into memory fail in here.

    Args:
        given: key and value of the setting that it hangs on.
        remedy: what must be instead.

    Raises:
        TooLargeError: if it does not fit.
    """
    try:
        with _bounded():
            yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        reason = _room() or "".join(f" ({line})" for line in str(error).splitlines()[:1])
        raise TooLargeError(f"{given}: out of memory{reason}; must be {remedy}, or a machine with more") from error


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Keep this process to the memory that there is, if that is known and no GPU does the work."""
    most = None if torch.cuda.is_initialized() else room.most_data()
    with contextlib.nullcontext() if most is None else system.data_limit(most):
        yield


def _room() -> str:
    """What there is, in words; nothing where that is not known."""
    if torch.cuda.is_initialized() or room.total is None:
        return ""
    return f" (more is needed than the {room.total / 2**30:.1f} GiB that this process may have)"


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, for the next tensor, instead of giving it back to the system.

    Else every page of every large tensor is faulted in anew. Does nothing where there is no glibc, and where the user
    limits memory: what is kept in pieces counts there.
    """
    if system.is_limited_by_the_user():
        return
    trim_threshold, mmap_threshold = -1, -3  # glibc's malloc.h
    with _glibc() as library:
        library.mallopt(trim_threshold, 2**31 - 1)
        library.mallopt(mmap_threshold, KEEPING_THRESHOLD)


def give_back_memory() -> None:
    """Give back to the system what is kept and not in use."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with _glibc() as library:
        library.malloc_trim(0)


def keep_nothing() -> None:
    """Give back every large tensor as soon as it is freed.

    What is kept lies in pieces, into which a tensor of another size may not fit, and others may need it.
    """
    mmap_threshold = -3
    give_back_memory()
    with _glibc() as library:
        library.mallopt(mmap_threshold, RETURNING_THRESHOLD)
        library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        room.set_aside(lambda size: library.malloc(size) is not None)


@contextlib.contextmanager
def _glibc() -> Iterator[Any]:
    """The C library; where it is another, what it lacks is passed over."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        yield ctypes.CDLL(None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says so; torch raises a plain RuntimeError where a CPU allocation fails."""
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS))
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    )
