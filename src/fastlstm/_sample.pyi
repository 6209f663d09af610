"""The sampling loop. Arrays are C-contiguous and of the model's dtype; symbols int32, uniforms float64."""

import numpy as np

from fastlstm._native import Steps

def generate(
    symbols: np.ndarray, uniforms: np.ndarray, steps: Steps, output_weight: np.ndarray, output_bias: np.ndarray,
    never: int, temperature: float, top_k: int, top_p: float,
) -> int: ...
def draw(
    symbols: np.ndarray, logits: np.ndarray, uniforms: np.ndarray, never: int, temperature: float, top_k: int, top_p: float
) -> bool: ...
