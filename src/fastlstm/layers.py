"""The public layers: stacks of LSTM, GRU and plain recurrent layers, with PyTorch's parameter names, shapes and gate order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike

from fastlstm import _check
from fastlstm.cells import Cell
from fastlstm.recurrent import Recurrent
from fastlstm.reference import ACTIVATIONS


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """A constructor's arguments, to make a copy by; a copy's parameters and generator are not drawn anew."""
    return {name: value for name, value in arguments.items() if name not in ("self", "seed", "__class__")}


class LSTM(Recurrent):
    """A stack of LSTM layers.

        i, f, g, o = σ(a_i), σ(a_f), φ(a_g), σ(a_o)    with    a = W x_t + b_ih + U h_{t-1} + b_hh
        c_t = f ∘ c_{t-1} + i ∘ g
        h_t = o ∘ φ(c_t)

    Layer k + 1 reads the outputs h of layer k. Source: Hochreiter & Schmidhuber 1997 with the forget gate of Gers,
    Schmidhuber & Cummins 2000; parameters as in `torch.nn.LSTM`.

    Computes on the engine in use (`fastlstm.set_engine`) and, where the work is worth it, on up to
    `fastlstm.get_threads()` threads: the same input on the same number of them gives the same bits.

    Args:
        input_size: I, numbers in each input vector, at least 1; for token input, how many tokens there are.
        hidden_size: H, units of each layer, at least 1; or a sequence of them, one for each layer.
        num_layers: L, at least 1.
        bias: whether the layers have `bias_ih` and `bias_hh`.
        dropout: probability in [0, 1) of dropping each output between layers, in `forward` only.
        recurrent_dropout: probability in [0, 1) that a unit's h_{t-1} is dropped where `weight_hh` multiplies it, in
            `forward` only: the same units at every step of a sequence (Gal & Ghahramani 2016).
        bidirectional: whether each layer also runs over the sequence backwards, with parameters of its own.
        merge: how the outputs of the two directions become one: "concat" (one after the other, 2H) or "sum" (H).
        skip: whether every layer reads the input of the stack too, after the outputs below, and the stack's output is that
            of all layers one after another (Graves 2013).
        peephole: None; "diagonal": each unit's i and f see its own c_{t-1}, and its o the new c_t, by `weight_ci`,
            `weight_cf`, `weight_co` (H,) (Gers & Schmidhuber 2000); "full": they see those of all units, by (H, H).
        coupled: whether i = 1 - f: only as much is written as is forgotten (Greff et al. 2017). Gates are f, g, o.
        activation: φ: "tanh", "sigmoid", "relu", "hard_sigmoid" (relu6(x + 3) / 6), "softsign" or "linear".
        recurrent_activation: σ, one of the same.
        clip: None, or a number above 0: φ and σ of gates and candidates take min(max(a, -clip), clip) in place of a, as the
            attribute of that name in ONNX; φ(c_t) takes c_t as it is.
        proj_size: R > 0: h_t = weight_hr (o ∘ φ(c_t)) has R numbers (Sak, Senior & Beaufays 2014); less than H.
        initializer: of the parameters (`fastlstm.init`): "uniform" (all in ±1/√H), "xavier" (each gate's matrices in
            ±√(6 / (columns + H)), biases 0) or "orthogonal" (each gate's recurrent matrix orthogonal, else as "xavier").
            Forget-gate biases are 1 in all of them.
        dtype: "float32" or "float64", of parameters, outputs and states.
        seed: of the initial parameters and of dropout without a `dropout_seed`; None takes fresh entropy.

    >>> import numpy as np
    >>> rnn = LSTM(3, 4, num_layers=2, seed=0)
    >>> y, (h, c) = rnn(np.zeros((5, 2, 3)))
    >>> y.shape, h.shape, c.shape
    ((5, 2, 4), (2, 2, 4), (2, 2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int | Sequence[int], num_layers: int = 1, *, bias: bool = True,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, bidirectional: bool = False, merge: str = "concat",
        skip: bool = False, peephole: str | None = None, coupled: bool = False, activation: str = "tanh",
        recurrent_activation: str = "sigmoid", clip: float | None = None, proj_size: int = 0, initializer: str = "uniform",
        dtype: DTypeLike = "float32", seed: int | None = None,
    ) -> None:
        options = _given(locals())
        cell = Cell(  # of no size yet
            "lstm", input_size, 0, bias=bias, activation=activation, recurrent_activation=recurrent_activation, clip=clip,
            peephole=peephole, coupled=coupled, proj_size=proj_size,
        )
        super().__init__(
            cell, hidden_size, num_layers, dropout=dropout, recurrent_dropout=recurrent_dropout,
            bidirectional=bidirectional, merge=merge, skip=skip, initializer=initializer, dtype=dtype, seed=seed,
            options=options,
        )
        cell = self.places[0].cell
        self.peephole, self.coupled, self.proj_size = cell.peephole, cell.coupled, cell.proj_size


class GRU(Recurrent):
    """A stack of GRU layers.

        r, z = σ(a_r), σ(a_z)    with    a = W x_t + b_ih + U h_{t-1} + b_hh
        n = φ(W_n x_t + b_in + r ∘ (U_n h_{t-1} + b_hn))       reset_after
        n = φ(W_n x_t + b_in + U_n (r ∘ h_{t-1}) + b_hn)       without
        h_t = (1 - z) ∘ n + z ∘ h_{t-1}

    Source: Cho et al. 2014, whose reset comes before the product; parameters as in `torch.nn.GRU`, whose reset comes after.

    Args:
        reset_after: whether the reset gate multiplies what `weight_hh` has made of h, or h itself.
        input_size, hidden_size, num_layers, bias, dropout, recurrent_dropout, bidirectional, merge, skip, activation,
            recurrent_activation, clip, initializer, dtype, seed: as for `LSTM`; there is no forget gate.

    >>> import numpy as np
    >>> y, h = GRU(3, 4, num_layers=2, bidirectional=True, seed=0)(np.zeros((5, 2, 3)))
    >>> y.shape, h.shape
    ((5, 2, 8), (4, 2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int | Sequence[int], num_layers: int = 1, *, bias: bool = True,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, bidirectional: bool = False, merge: str = "concat",
        skip: bool = False, activation: str = "tanh", recurrent_activation: str = "sigmoid", clip: float | None = None,
        reset_after: bool = True, initializer: str = "uniform", dtype: DTypeLike = "float32", seed: int | None = None,
    ) -> None:
        options = _given(locals())
        cell = Cell(
            "gru", input_size, 0, bias=bias, activation=activation, recurrent_activation=recurrent_activation, clip=clip,
            reset_after=reset_after,
        )
        super().__init__(
            cell, hidden_size, num_layers, dropout=dropout, recurrent_dropout=recurrent_dropout,
            bidirectional=bidirectional, merge=merge, skip=skip, initializer=initializer, dtype=dtype, seed=seed,
            options=options,
        )
        self.reset_after = self.places[0].cell.reset_after


class RNN(Recurrent):
    """A stack of plain recurrent layers.

        h_t = φ(W x_t + b_ih + U h_{t-1} + b_hh)

    Source: Elman 1990; parameters as in `torch.nn.RNN`.

    Args:
        nonlinearity: φ, one of `LSTM`'s activations.
        input_size, hidden_size, num_layers, bias, dropout, recurrent_dropout, bidirectional, merge, skip, clip, initializer,
            dtype, seed: as for `LSTM`; there is no forget gate.

    >>> import numpy as np
    >>> y, h = RNN(3, 4, nonlinearity="relu", seed=0)(np.zeros((5, 2, 3)))
    >>> y.shape, h.shape
    ((5, 2, 4), (1, 2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int | Sequence[int], num_layers: int = 1, *, nonlinearity: str = "tanh",
        bias: bool = True, dropout: float = 0.0, recurrent_dropout: float = 0.0, bidirectional: bool = False,
        merge: str = "concat", skip: bool = False, clip: float | None = None, initializer: str = "uniform",
        dtype: DTypeLike = "float32", seed: int | None = None,
    ) -> None:
        options = _given(locals())
        self.nonlinearity = _check.choice("nonlinearity", nonlinearity, ACTIVATIONS)
        super().__init__(
            Cell("rnn", input_size, 0, bias=bias, activation=nonlinearity, clip=clip), hidden_size, num_layers, dropout=dropout,
            recurrent_dropout=recurrent_dropout, bidirectional=bidirectional, merge=merge, skip=skip,
            initializer=initializer, dtype=dtype, seed=seed, options=options,
        )
