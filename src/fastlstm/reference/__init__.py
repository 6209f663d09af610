"""Every cell in float64 NumPy, forward and backward, written to be read: what every engine must compute.

Dimensions: T steps, B sequences, I inputs, H hidden units, V symbols. Arrays are time-major. Parameter names and the
order of gates are PyTorch's. A new cell is a class beside those of `lstm`, `gru` and `rnn`. Nothing here is fast.
"""

from fastlstm.reference.activations import ACTIVATIONS, Activation, Array, clipped, sigmoid
from fastlstm.reference.equations import Equations
from fastlstm.reference.gru import GRU
from fastlstm.reference.losses import softmax_cross_entropy
from fastlstm.reference.lstm import LSTM
from fastlstm.reference.optimisers import adam, rmsprop, sgd
from fastlstm.reference.rnn import RNN
from fastlstm.reference.stack import CELLS, StackTape, State, quantities, stack_backward, stack_forward

__all__ = [
    "ACTIVATIONS", "CELLS", "GRU", "LSTM", "RNN", "Activation", "Array", "Equations", "StackTape", "State", "adam", "clipped",
    "quantities", "rmsprop", "sgd", "sigmoid", "softmax_cross_entropy", "stack_backward", "stack_forward",
]
