"""Losses of predictions, with their gradients."""

import numpy as np

from fastlstm.reference.activations import Array


def softmax_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Losses (N,) = log Σ_v exp(logits_v) - logits_target in nats, and the gradient of their sum, both from (N, V)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    gradient = np.exp(shifted - log_sum)
    rows = np.arange(len(targets))
    losses = (log_sum - shifted)[rows, targets]
    gradient[rows, targets] -= 1
    return losses, gradient
