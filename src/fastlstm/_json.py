"""JSON without infinities."""

import json
from math import isfinite
from typing import Any


def dumps(value: Any) -> str:
    """The value as JSON on one line, with null for what JSON has no number for."""
    return json.dumps(_finite(value), allow_nan=False)


def show(value: dict[str, Any]) -> None:
    """Print the value on standard output."""
    print(dumps(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value
