"""The LSTM in float64 NumPy, forward and backward, written to be read: what every engine must compute.

Dimensions: T steps, B sequences, I inputs, H hidden units, V symbols, L layers. Arrays are time-major. One layer computes

    i, f, g, o = σ(a_i), σ(a_f), φ(a_g), σ(a_o)    with    a = W x_t + b_ih + U h_{t-1} + b_hh
    c_t = f ∘ c_{t-1} + i ∘ g
    h_t = o ∘ φ(c_t)

(Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000), with PyTorch's parameter names and gate
order. W is `weight_ih` (4H, I), U is `weight_hh` (4H, H). Nothing here is fast.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow at either end."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


class Activation(NamedTuple):
    """A function and its derivative, the latter written in terms of the function's value y."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


# In the order of the FL_ constants of csrc/fastlstm.h. hard_sigmoid is relu6(x + 3) / 6, as in PyTorch and Keras 3.
ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(np.tanh, lambda y: 1 - y * y),
    "sigmoid": Activation(sigmoid, lambda y: y * (1 - y)),
    "relu": Activation(lambda x: np.maximum(x, 0), lambda y: np.where(y > 0, 1.0, 0.0)),
    "hard_sigmoid": Activation(lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda y: np.where((y > 0) & (y < 1), 1 / 6, 0.0)),
    "softsign": Activation(lambda x: x / (1 + np.abs(x)), lambda y: (1 - np.abs(y)) ** 2),
    "linear": Activation(lambda x: x, np.ones_like),
}


class LayerTape(NamedTuple):
    """What the backward pass of one layer needs: arrays (T, B, ·) of inputs, gates and states, and who was running."""

    x: Array
    gates: list[tuple[Array, Array, Array, Array]]
    h: list[Array]  # T + 1 arrays, the initial state first
    c: list[Array]
    running: Array  # (T, B, 1), true while t < lengths[b]


def layer_forward(
    weight_ih: Array, weight_hh: Array, bias: Array, x: Array, h0: Array, c0: Array, running: Array,
    activation: Activation, recurrent: Activation,
) -> tuple[Array, Array, Array, LayerTape]:
    """One layer over all steps. Returns y (T, B, H), the final h and c (B, H) and the tape.

    A sequence that has ended keeps its state, and its outputs are 0.
    """
    h, c, gates, outputs = [h0], [c0], [], []
    for t in range(len(x)):
        a = np.where(running[t], x[t], 0) @ weight_ih.T + h[t] @ weight_hh.T + bias
        a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
        i, f, g, o = recurrent.value(a_i), recurrent.value(a_f), activation.value(a_g), recurrent.value(a_o)
        c_t = f * c[t] + i * g
        h_t = o * activation.value(c_t)
        gates.append((i, f, g, o))
        c.append(np.where(running[t], c_t, c[t]))
        h.append(np.where(running[t], h_t, h[t]))
        outputs.append(np.where(running[t], h_t, 0))
    y = np.array(outputs).reshape(len(x), *h0.shape)
    return y, h[-1], c[-1], LayerTape(x, gates, h, c, running)


def layer_backward(
    weight_ih: Array, weight_hh: Array, tape: LayerTape, dy: Array, dh: Array, dc: Array, activation: Activation,
    recurrent: Activation,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Gradients of a loss whose gradients are dy (T, B, H) at the outputs and dh, dc (B, H) at the final state.

    Returns dx, dh0, dc0, d_weight_ih, d_weight_hh, d_bias.
    """
    dx = np.zeros_like(tape.x)
    d_weight_ih, d_weight_hh = np.zeros_like(weight_ih), np.zeros_like(weight_hh)
    d_bias = np.zeros(len(weight_ih))
    for t in reversed(range(len(dx))):
        running, (i, f, g, o) = tape.running[t], tape.gates[t]
        x = np.where(running, tape.x[t], 0)
        squashed = activation.value(tape.c[t + 1])
        dh_t = np.where(running, dh + dy[t], 0)
        dc_t = np.where(running, dc, 0) + dh_t * o * activation.slope(squashed)
        da = np.concatenate(
            [
                dc_t * g * recurrent.slope(i),
                dc_t * tape.c[t] * recurrent.slope(f),
                dc_t * i * activation.slope(g),
                dh_t * squashed * recurrent.slope(o),
            ],
            axis=1,
        )
        da = np.where(running, da, 0)
        dx[t] = da @ weight_ih
        d_weight_ih += da.T @ x
        d_weight_hh += da.T @ tape.h[t]
        d_bias += da.sum(axis=0)
        dh = np.where(running, da @ weight_hh, dh)
        dc = np.where(running, dc_t * f, dc)
    return dx, dh, dc, d_weight_ih, d_weight_hh, d_bias


class StackTape(NamedTuple):
    """The tapes of all layers and the masks between them."""

    layers: list[LayerTape]
    masks: list[Array]
    activation: Activation
    recurrent: Activation


def _layer_bias(parameters: Mapping[str, Array], k: int) -> Array:
    names = (f"bias_ih_l{k}", f"bias_hh_l{k}")
    return sum((parameters[name] for name in names if name in parameters), np.zeros(len(parameters[f"weight_hh_l{k}"])))


def stack_forward(
    parameters: Mapping[str, Array], x: Array, h0: Array, c0: Array, lengths: Array | None = None,
    masks: list[Array] | None = None, activation: str = "tanh", recurrent_activation: str = "sigmoid",
) -> tuple[Array, Array, Array, StackTape]:
    """A stack of L layers, each reading the outputs of the one below.

    parameters: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` and so on; without the biases they are 0.
    x (T, B, I); h0, c0 (L, B, H); lengths (B,): steps t >= lengths[b] are padding, never looked at.
    masks: L - 1 dropout masks (T, B, H), already scaled: layer k + 1 reads y_k ∘ masks[k].
    Returns y (T, B, H) of the last layer, the final h and c (L, B, H), and the tape.
    """
    T, B = x.shape[:2]
    lengths = np.full(B, T) if lengths is None else np.asarray(lengths)
    running = (np.arange(T)[:, None] < lengths)[:, :, None]
    kind, recurrent = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    y, tapes, final_h, final_c = x, [], [], []
    for k in range(len(h0)):
        if k and masks:
            y = y * masks[k - 1]
        y, h, c, tape = layer_forward(
            parameters[f"weight_ih_l{k}"], parameters[f"weight_hh_l{k}"], _layer_bias(parameters, k), y, h0[k], c0[k],
            running, kind, recurrent,
        )
        tapes.append(tape)
        final_h.append(h)
        final_c.append(c)
    return y, np.array(final_h), np.array(final_c), StackTape(tapes, masks or [], kind, recurrent)


def stack_backward(
    parameters: Mapping[str, Array], tape: StackTape, dy: Array, dh: Array, dc: Array
) -> tuple[Array, Array, Array, dict[str, Array]]:
    """Gradients with respect to x, h0, c0 and every parameter, from dy (T, B, H) and dh, dc (L, B, H)."""
    dh0, dc0, gradients = np.zeros_like(dh), np.zeros_like(dc), {}
    for k in reversed(range(len(dh))):
        weight_ih, weight_hh = parameters[f"weight_ih_l{k}"], parameters[f"weight_hh_l{k}"]
        dy, dh0[k], dc0[k], d_weight_ih, d_weight_hh, d_bias = layer_backward(
            weight_ih, weight_hh, tape.layers[k], dy, dh[k], dc[k], tape.activation, tape.recurrent
        )
        if k and tape.masks:
            dy = dy * tape.masks[k - 1]
        layer = {
            f"weight_ih_l{k}": d_weight_ih, f"weight_hh_l{k}": d_weight_hh, f"bias_ih_l{k}": d_bias,
            f"bias_hh_l{k}": d_bias,
        }
        gradients |= {name: gradient for name, gradient in layer.items() if name in parameters}
    return dy, dh0, dc0, gradients


def softmax_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Losses (N,) = log Σ_v exp(logits_v) - logits_target in nats, and the gradient of their sum, both from (N, V)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    gradient = np.exp(shifted - log_sum)
    rows = np.arange(len(targets))
    losses = (log_sum - shifted)[rows, targets]
    gradient[rows, targets] -= 1
    return losses, gradient


def sgd(
    parameters: Array, first_moment: Array, gradients: Array, *, learning_rate: float, beta1: float = 0.0
) -> tuple[Array, Array]:
    """The parameters and the moment after one step of gradient descent with momentum beta1 (Polyak 1964)."""
    first_moment = beta1 * first_moment + gradients
    return parameters - learning_rate * first_moment, first_moment


def rmsprop(
    parameters: Array, second_moment: Array, gradients: Array, *, learning_rate: float, beta2: float = 0.99,
    epsilon: float = 1e-8,
) -> tuple[Array, Array]:
    """The parameters and the moment after one RMSProp step (Tieleman & Hinton 2012)."""
    second_moment = beta2 * second_moment + (1 - beta2) * gradients**2
    return parameters - learning_rate * gradients / (np.sqrt(second_moment) + epsilon), second_moment


def adam(
    parameters: Array, first_moment: Array, second_moment: Array, gradients: Array, *, step: int, learning_rate: float,
    beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """The parameters and moments after one Adam step, the first step being 1 (Kingma & Ba 2015, algorithm 1).

    With weight_decay, the parameters first shrink by learning_rate * weight_decay (Loshchilov & Hutter 2019).
    """
    parameters = parameters * (1 - learning_rate * weight_decay)
    first_moment = beta1 * first_moment + (1 - beta1) * gradients
    second_moment = beta2 * second_moment + (1 - beta2) * gradients**2
    corrected1, corrected2 = first_moment / (1 - beta1**step), second_moment / (1 - beta2**step)
    return parameters - learning_rate * corrected1 / (np.sqrt(corrected2) + epsilon), first_moment, second_moment
