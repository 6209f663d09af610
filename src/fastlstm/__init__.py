"""Recurrent networks: training, inference and text generation, fast on a CPU."""

from typing import Any

from fastlstm import measure, optim, targets
from fastlstm.checkpoint import CheckpointError
from fastlstm.engines import engine, set_engine
from fastlstm.flow import gradient_flow, plot_gradient_flow
from fastlstm.layers import GRU, LSTM, RNN
from fastlstm.model import Model
from fastlstm.schedules import Cosine, Exponential, Plateau, Step
from fastlstm.threads import available_cpus, get_threads, set_threads

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
    "set_engine",
    "set_threads",
    "targets",
]


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
