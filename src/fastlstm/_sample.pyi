"""The sampling loop. Weights and states are C-contiguous and of one dtype; symbols are int32, uniforms float64."""

import numpy as np

def generate(
    symbols: np.ndarray, uniforms: np.ndarray, h: np.ndarray, c: np.ndarray, table: np.ndarray, weight_ih: np.ndarray,
    bias: np.ndarray, weight_hh: np.ndarray, output_weight: np.ndarray, output_bias: np.ndarray, never: int,
    temperature: float, top_k: int, top_p: float,
) -> int: ...
