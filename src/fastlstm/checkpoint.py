"""Model files: safetensors, with everything that is not an array as JSON in the metadata, and a checksum over all of it."""

import contextlib
import json
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 2
MOST_HEADER = 100_000_000  # bytes; safetensors refuses larger ones
_CHECKSUM_KEY = "fastlstm.checksum"
_NO_CHECKSUM = "0" * 64  # what stands in the checksum's place while it is computed
# How zip archives and pickles begin, and no safetensors file, whose ninth byte opens a JSON object.
_PICKLE = re.compile(rb"(?:PK\x03\x04.|\x80[\x02-\x05][^\0].{2}).{3}[^{]", re.DOTALL)


class CheckpointError(Exception):
    """A model file is damaged, foreign or newer than this version.

    No ValueError: the arguments were good. A pickle is refused with a ValueError, as it should not have been passed.
    """


def write(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], sections: Mapping[str, Any]) -> None:
    """Write a model file: whole, or not at all.

    Args:
        path: the file.
        arrays: by name.
        sections: what `read` gives back, JSON values by name.
    """
    path = check_target(path)
    replace(path, encode(arrays, sections))


def replace(path: Path, content: bytes) -> None:
    """Write a file whole, or not at all.

    The bytes go to `<path>.tmp`, are synced and renamed over `path`, so that at every moment either the old or the new
    file is there.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def encode(arrays: Mapping[str, np.ndarray], sections: Mapping[str, Any]) -> bytes:
    """The bytes of a model file."""
    from safetensors.numpy import save

    metadata = {f"fastlstm.{name}": json.dumps(value) for name, value in sections.items()}
    metadata |= {"fastlstm.format": str(FORMAT), _CHECKSUM_KEY: _NO_CHECKSUM}
    content = bytearray(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata))
    place = _checksum_place(content)
    content[place : place + 64] = _digest(content).encode()
    return bytes(content)


def _is_model(path: Path) -> bool:
    """Whether the file looks like one of ours, damaged or not."""
    with open(path, "rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        return b'"fastlstm.format"' in file.read(min(header_size, MOST_HEADER))


def check_target(path: str | os.PathLike, kind: str = "model", is_ours: Callable[[Path], bool] = _is_model) -> Path:
    """Where a file at `path` would be put, symbolic links followed; an error where it could not, or would destroy another.

    Args:
        path: of a file of ours.
        kind: what such a file is called.
        is_ours: whether a file that is there is one.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: the directory {target.parent} does not exist")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: no permission to write in the directory {target.parent}")
    if target.exists() and not target.is_file():
        raise ValueError(f"{path} is not a regular file, so a {kind} cannot replace it")
    if target.exists() and target.stat().st_size and not is_ours(target):
        raise ValueError(f"{path} exists and is not a fastlstm {kind}; remove it first, or choose another name")
    return target


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and sections of a model file.

    Raises:
        CheckpointError: the file is damaged, not a fastlstm model, or of a newer format.
        ValueError: it is a pickle, by its name or its first bytes: opening one could run what is in it.
        OSError: it cannot be read.
    """
    path, advice = Path(path), "are not opened; pass a state dict or a .safetensors file"
    if path.suffix.lower() in (".pt", ".pth", ".pkl"):
        raise ValueError(f"{path.suffix} files are pickles and {advice}")
    content = path.read_bytes()
    if _PICKLE.match(content):
        raise ValueError(f"{path}: pickles and zip archives {advice}")
    with errors_named(path):
        return decode(content)


@contextlib.contextmanager
def errors_named(path: str | os.PathLike) -> Iterator[None]:
    """Turn whatever the content of a file provokes in the block into a CheckpointError that names it."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise CheckpointError(f"{path}: {what or type(error).__name__}") from None


def decode(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The inverse of `encode`; any error means that the bytes are not those of a model."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    header, data_size = _header(content)
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or "fastlstm.format" not in metadata:
        raise CheckpointError("a safetensors file, but not a fastlstm model")
    version = metadata["fastlstm.format"]
    if not (isinstance(version, str) and version.isdecimal() and 0 < len(version) < 10 and int(version) > 0):
        raise CheckpointError(f"its format is {version!r}, expected a number")
    if int(version) > FORMAT:
        raise CheckpointError(f"format {version} is newer than {FORMAT}, the newest this version reads")
    _check_sizes(header, data_size)
    _check_checksum(content, metadata)
    try:
        arrays = load(content)
    except SafetensorError as error:
        raise CheckpointError(f"not a valid safetensors file ({error})") from None
    prefix = "fastlstm."
    skip = (_CHECKSUM_KEY, "fastlstm.format")
    names = [name for name in metadata if name.startswith(prefix) and name not in skip]
    return arrays, {name.removeprefix(prefix): json.loads(metadata[name]) for name in names}


def _header(content: bytes) -> tuple[dict[str, Any], int]:
    """The JSON header, and how many bytes follow it."""
    if len(content) < 8:
        raise CheckpointError(f"the file has {len(content)} bytes, too few for a model")
    (size,) = struct.unpack("<Q", content[:8])
    if size > len(content) - 8:
        raise CheckpointError(
            f"not a fastlstm model, or cut short: its header would have {size} bytes, the file has {len(content) - 8}"
        )
    try:
        header = json.loads(content[8 : 8 + size])
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise CheckpointError("not a safetensors file: its header is not a JSON object")
    return header, len(content) - 8 - size


def _check_sizes(header: dict[str, Any], available: int) -> None:
    """Name the first array whose declared bytes are not among the `available` ones after the header."""
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            begin, end = entry["data_offsets"]
            declared, present = int(end) - int(begin), max(0, available - int(begin))
        except (TypeError, KeyError, ValueError):
            raise CheckpointError(f"the header's entry for tensor {name!r} is malformed") from None
        if declared > present:
            raise CheckpointError(f"tensor {name!r} declares {declared} bytes, the file has {present}")


def _checksum_place(content: bytes | bytearray) -> int:
    """Where the 64 hexadecimal digits of the checksum stand."""
    key = f'"{_CHECKSUM_KEY}":"'.encode()
    place = content.find(key)
    if place < 0:
        raise CheckpointError("it has no checksum")
    return place + len(key)


def _digest(*parts: bytes | bytearray | memoryview) -> str:
    import hashlib  # loads OpenSSL, which importing fastlstm need not do

    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _check_checksum(content: bytes, metadata: dict[str, Any]) -> None:
    place = _checksum_place(content)
    view = memoryview(content)
    if _digest(view[:place], _NO_CHECKSUM.encode(), view[place + 64 :]) != metadata.get(_CHECKSUM_KEY):
        raise CheckpointError("its checksum does not match: the file has been damaged or altered")
