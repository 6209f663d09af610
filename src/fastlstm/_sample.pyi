"""Types of `_sample.pyx`."""

import numpy as np

def generate(
    symbols: np.ndarray, ends: np.ndarray, begin: int, uniforms: np.ndarray, h: np.ndarray, c: np.ndarray,
    table: np.ndarray, weight_ih: np.ndarray, bias: np.ndarray, weight_hh: np.ndarray, output_weight: np.ndarray,
    output_bias: np.ndarray, temperature: float, top_k: int, top_p: float, stop: np.ndarray,
) -> None: ...
