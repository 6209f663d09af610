"""LSTM training, inference and text generation, fast on a CPU."""

from fastlstm.engines import engine, set_engine
from fastlstm.layers import LSTM

__version__ = "0.1.0"
__all__ = ["LSTM", "engine", "set_engine"]
