"""Named parameter arrays laid out one after another in one vector, so that an optimiser step is one pass."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import takewhile
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from fastlstm import _check
from fastlstm.aligned import aligned_empty


class Parameters:
    """Arrays by name over one contiguous vector.

    `flat` is the vector, `arrays` the writable views into it (for the library's own code), `public` the same views
    read-only. `version` grows with every change announced by `touch`; what is `derived` from the values is made anew.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> None:
        self.flat = aligned_empty(sum(prod(shape) for shape in shapes.values()), np.dtype(dtype))
        self.flat.fill(0)
        self.arrays: dict[str, np.ndarray] = {}
        start = 0
        for name, shape in shapes.items():
            self.arrays[name] = self.flat[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        self.changes = [0]  # their count, in a list to be shared with sections
        self._publish()

    def _publish(self) -> None:
        views = {name: array.view() for name, array in self.arrays.items()}
        for view in views.values():
            view.flags.writeable = False
        self.public: Mapping[str, np.ndarray] = MappingProxyType(views)
        self._derived: dict[Hashable, tuple[int, Any]] = {}
        self._sections: dict[str, Parameters] = {}

    def section(self, prefix: str) -> "Parameters":
        """The parameters whose names start with `prefix`, neighbours in the vector, under the rest of their names; memory and
        version are shared.
        """
        if prefix not in self._sections:
            names = {name.removeprefix(prefix): name for name in self.arrays if name.startswith(prefix)}
            part = self._sections[prefix] = self.renamed(names)
            start = sum(array.size for name, array in takewhile(lambda item: not item[0].startswith(prefix), self))
            part.flat = self.flat[start : start + sum(array.size for array in part.arrays.values())]
        return self._sections[prefix]

    def renamed(self, names: Mapping[str, str]) -> "Parameters":
        """Some of the parameters, by new names and the present ones, without a vector; memory and version are shared."""
        part = object.__new__(Parameters)
        part.arrays = {new: self.arrays[name] for new, name in names.items()}
        part.changes = self.changes
        part._publish()
        return part

    def zeros_like(self) -> "Parameters":
        """Zeros under the same names and shapes."""
        return Parameters({name: array.shape for name, array in self.arrays.items()}, self.flat.dtype)

    @property
    def version(self) -> int:
        """How often the values have changed."""
        return self.changes[0]

    def touch(self) -> None:
        """Announce that values have changed."""
        self.changes[0] += 1

    def derived(self, key: Hashable, make: Callable[[Any], Any]) -> Any:
        """What `make` makes of the present values, kept under `key` until they change.

        make receives what it made of the values before (None the first time), whose memory it may use again.
        """
        version, value = self._derived.get(key, (-1, None))
        if version != self.changes[0]:
            version, value = self.changes[0], make(value)
            self._derived[key] = version, value
        return value

    def checked(self, values: object, what: str = "parameters") -> dict[str, np.ndarray]:
        """Arrays of exactly these names, shapes and dtype out of `values`, which messages call `what`."""
        if not isinstance(values, Mapping):
            raise TypeError(f"{what} must be a mapping of arrays by name, got {type(values).__name__}")
        wrong = {"missing": self.arrays.keys() - values.keys(), "unexpected": values.keys() - self.arrays.keys()}
        if any(wrong.values()):
            named = [f"{kind} {what}: {', '.join(sorted(map(str, names)))}" for kind, names in wrong.items() if names]
            raise ValueError("; ".join(named))
        return {name: _check.array(name, values[name], array.shape, array.dtype) for name, array in self.arrays.items()}

    def load(self, values: Mapping[str, object]) -> None:
        """Copy all arrays from `values`, strict about names, shapes and leftovers; on any error nothing changes."""
        # Copied before the first is written: the values may be views of these very arrays.
        for name, value in [(name, array.copy()) for name, array in self.checked(values).items()]:
            self.arrays[name][...] = value
        self.touch()

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        return iter(self.arrays.items())
