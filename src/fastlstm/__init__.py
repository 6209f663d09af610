"""Recurrent networks: training, inference and text generation, fast on a CPU."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fastlstm.engines import engine, set_engine
from fastlstm.layers import GRU, LSTM, RNN
from fastlstm.threads import available_cpus, get_threads, set_threads

if TYPE_CHECKING:
    from fastlstm import measure, optim, schedules, targets
    from fastlstm.checkpoint import CheckpointError
    from fastlstm.flow import gradient_flow, plot_gradient_flow
    from fastlstm.model import Model
    from fastlstm.schedules import Cosine, Exponential, Plateau, Step

# Names that are loaded when they are first asked for, with the modules they are in: layers alone need none of them.
_LATER = {
    "Model": "model", "CheckpointError": "checkpoint", "gradient_flow": "flow", "plot_gradient_flow": "flow",
    "Cosine": "schedules", "Exponential": "schedules", "Plateau": "schedules", "Step": "schedules",
}

__version__ = "0.1.0"
__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "CheckpointError",
    "Cosine",
    "Exponential",
    "Model",
    "Plateau",
    "Step",
    "cpu_info",
    "engine",
    "get_threads",
    "gradient_flow",
    "measure",
    "optim",
    "plot_gradient_flow",
    "schedules",
    "set_engine",
    "set_threads",
    "targets",
]


if not TYPE_CHECKING:  # else every name would be taken for one of ours

    def __getattr__(name: str) -> Any:
        if name in _LATER:
            found = getattr(import_module(f"fastlstm.{_LATER[name]}"), name)
        elif not name.startswith("_") and find_spec(f"fastlstm.{name}"):
            found = import_module(f"fastlstm.{name}")
        else:
            raise AttributeError(f"module 'fastlstm' has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


def cpu_info() -> dict[str, Any]:
    """What computations run on: instruction set in use and those available, threads, processors, engine."""
    from fastlstm import _core
    from fastlstm.engines import current_name

    return {
        "instruction_set": _core.isa(),
        "available_instruction_sets": _core.available_isas(),
        "threads": get_threads(),
        "cpus": available_cpus(),
        "engine": current_name(),
    }
