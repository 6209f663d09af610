"""Every error about a shape, dtype or value, worded once: the argument, what was expected, what came."""

import difflib
import operator
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

MAX_BLAS_DIMENSION = 2**31 - 1
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else sys.maxsize  # bytes


def shape_text(shape: Sequence[int | str]) -> str:
    """A shape as it is written in messages: (T, B, 32)."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def kind(value: object) -> str:
    """The type of a value as it is written in messages, with the length if it has one: tuple of 3."""
    return type(value).__name__ + (f" of {len(value)}" if hasattr(value, "__len__") else "")


def any_array(name: str, value: object) -> np.ndarray:
    """`value` as an array of whatever shape and dtype."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be an array, got sequences of different lengths") from None


def array(name: str, value: object, shape: Sequence[int | str], dtype: np.dtype) -> np.ndarray:
    """`value` as a C-contiguous array of `dtype` and `shape`, whose entries are sizes or names of free dimensions."""
    found = value if type(value) is np.ndarray else any_array(name, value)
    if found.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, got dtype {found.dtype}")
    fits = len(found.shape) == len(shape)
    for want, got in zip(shape, found.shape, strict=False):
        fits = fits and (want == got or isinstance(want, str))
    if not fits:
        raise ValueError(f"{name} must have shape {shape_text(shape)}, got {shape_text(found.shape)}")
    flags = found.flags
    if found.dtype == dtype and flags.c_contiguous and flags.aligned:
        return found
    with np.errstate(over="ignore"):  # beyond float32 is infinite, as everywhere
        return np.require(found, dtype, ["C", "A"])


def out(name: str, value: object, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse anything but a writable C-contiguous array of exactly this shape and dtype, to be written to."""
    expected = f"{name} must be a writable C-contiguous {dtype.name} array of shape {shape_text(shape)}"
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{expected}, got {type(value).__name__}")
    if value.shape != shape or value.dtype != dtype or not value.flags.carray:
        kind = "" if value.flags.carray else "read-only, strided or unaligned "
        raise ValueError(f"{expected}, got a {kind}{value.dtype} array of shape {shape_text(value.shape)}")


def tokens(name: str, value: object, ndim: int, V: int, lengths: np.ndarray | None = None) -> np.ndarray:
    """`value` as a contiguous int32 array of `ndim` dimensions, every id in [0, V); ids beyond `lengths` are ignored."""
    found = _integers(name, value)
    if found.ndim != ndim:
        dimensions = "one dimension" if ndim == 1 else f"{ndim} dimensions"
        raise ValueError(f"{name} must have {dimensions}, got shape {shape_text(found.shape)}")
    outside = (found < 0) | (found >= V)
    if lengths is not None:
        running = np.arange(len(found))[:, None] < lengths
        outside &= running
        found = np.where(running, found, 0)
    if outside.any():
        position = tuple(int(p) for p in np.argwhere(outside)[0])
        place = position if ndim > 1 else position[0]
        raise IndexError(f"token id {found[position]} at position {place} is outside [0, {V})")
    return np.require(found, np.int32, ["C", "A"])


def _integers(name: str, value: object) -> np.ndarray:
    found = any_array(name, value)
    if found.size == 0 and isinstance(value, list | tuple):  # has no type of its own
        return found.astype(np.int64)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an integer array, got {found.dtype}")
    return found


def lengths(value: object, T: int, B: int) -> np.ndarray:
    """`value` as int64 lengths (B,), each in [0, T]."""
    found = _integers("lengths", value)
    if found.shape != (B,):
        raise ValueError(f"lengths must have shape {shape_text((B,))}, got {shape_text(found.shape)}")
    wrong = (found < 0) | (found > T)
    if wrong.any():
        b = int(np.argmax(wrong))
        raise ValueError(f"lengths must be between 0 and T = {T}, got {found[b]} at index {b}")
    return found.astype(np.int64)


def count(name: str, value: object, least: int = 1) -> int:
    """`value` as an int of at least `least`."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def layers(value: int | Iterable[int] | None, L: int) -> list[int]:
    """`value`, one layer of L or several, as their numbers in order; None is all."""
    is_one = not isinstance(value, Iterable) or isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0
    several = range(L) if value is None else [value] if is_one else value
    chosen = sorted({count("layers", k, 0) for k in several})
    if chosen and chosen[-1] >= L:
        raise IndexError(f"layer {chosen[-1]} is outside [0, {L})")
    return chosen


def projection(value: object, widths: Sequence[int]) -> int:
    """`value` as the numbers of a projected output, fewer than any layer has units; 0 for none."""
    size, narrowest = count("proj_size", value, 0), min(widths)
    if size >= narrowest:
        raise ValueError(f"proj_size must be less than hidden_size = {narrowest}, got {size}")
    return size


def number(name: str, value: object, least: float, most: float = np.inf, *, open_ends: str = "") -> float:
    """`value` as a float between `least` and `most`; `open_ends` names those that are not allowed: "(", ")" or both."""
    try:
        found = float(value) if not isinstance(value, str | bytes) else None
    except (TypeError, ValueError):
        found = None
    except OverflowError:
        found = np.inf
    if found is None:
        raise TypeError(f"{name} must be a number, got {value!r}")
    above = found > least or (found == least and "(" not in open_ends)
    below = found < most or (found == most and ")" not in open_ends)
    if not (above and below and np.isfinite(found)):
        left, right = "(" if "(" in open_ends else "[", ")" if ")" in open_ends or most == np.inf else "]"
        raise ValueError(f"{name} must be in {left}{least:g}, {most:g}{right}, got {found:g}")
    return found


def flag(name: str, value: object) -> bool:
    """`value`, which must be True or False, or 1 or 0."""
    if isinstance(value, int | np.bool_) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


def optional(check: Callable[..., Any], name: str, value: object, *args: Any, **kwargs: Any) -> Any:
    """None as it is, anything else as `check(name, value, ...)` has it."""
    return None if value is None else check(name, value, *args, **kwargs)


def choice(name: str, value: object, choices: Iterable[str]) -> str:
    """`value`, which must be one of `choices`; a near miss gets a suggestion."""
    choices = list(choices)
    if value in choices:
        return value
    close = nearest(str(value), choices)
    hint = f"; did you mean {close!r}?" if close else ""
    raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}{hint}")


def nearest(given: str, known: Iterable[str]) -> str | None:
    """That of the `known` names which `given` is most like, whatever the case and the dashes before it; None: none is."""
    bare = {name.lstrip("-").lower(): name for name in known}
    close = difflib.get_close_matches(given.lstrip("-").lower(), bare, n=1)
    return bare[close[0]] if close else None


def float_dtype(value: object) -> np.dtype:
    """`value` as float32 or float64."""
    if isinstance(value, str):
        return np.dtype(choice("dtype", value, ("float32", "float64")))
    try:
        dtype = None if value is None else np.dtype(value)
    except TypeError:
        dtype = None
    if dtype is None or dtype not in (np.float32, np.float64):  # None would equal float64
        raise ValueError(f"dtype must be 'float32' or 'float64', got {value!r}")
    return dtype


def blas_dimension(name: str, size: int) -> None:
    """Refuse a size that BLAS, whose dimensions are 32-bit, could not take."""
    if size > MAX_BLAS_DIMENSION:
        raise ValueError(f"{name} is {size}, more than the {MAX_BLAS_DIMENSION} that BLAS can address; make it smaller")


def memory(name: str, elements: int, dtype: np.dtype) -> None:
    """Refuse what this machine's memory cannot hold, before part of it is allocated."""
    size = elements * dtype.itemsize
    if size > MEMORY:
        raise MemoryError(f"{name} would take {-(-size >> 30):,} GiB, this machine has {MEMORY >> 30:,}")
