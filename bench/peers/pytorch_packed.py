"""Ragged batches as PyTorch does them when they are packed; packing and padding are outside the timing.

Tried on one thread, and no faster: sequences sorted by length beforehand (`enforce_sorted=True`). Packed and padded
within the call a sequence takes a tenth longer.
"""

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from peers import Later
from peers.pytorch import set_threads, stack
from work import Call, Inference, LayerTraining, LayerWork

__all__ = ["inference", "layer_training", "set_threads"]


def _packed(work: LayerWork, array: np.ndarray) -> PackedSequence:
    """An array (T, B, ·) without its padding."""
    return pack_padded_sequence(torch.from_numpy(array), torch.tensor(work.lengths), enforce_sorted=False)


def _padded(work: LayerWork, packed: PackedSequence) -> Later:
    """It again, with zeros for padding."""
    return Later(lambda: pad_packed_sequence(packed, total_length=work.T)[0].numpy())


def inference(work: Inference) -> Call:
    """A sequence."""
    module, x = stack(work.layout, work.parameters()), _packed(work, work.input())
    return torch.inference_mode()(lambda: _padded(work, module(x)[0]))


def layer_training(work: LayerTraining) -> Call:
    """Forward and back."""
    module, dy = stack(work.layout, work.parameters()), _packed(work, work.output_gradient()).data
    x = _packed(work, work.input())
    x.data.requires_grad_()

    def step() -> tuple[Later | torch.Tensor, ...]:
        dx, *gradients = torch.autograd.grad(module(x)[0].data, (x.data, *module.parameters()), dy)
        return _padded(work, x._replace(data=dx)), *gradients

    return step
