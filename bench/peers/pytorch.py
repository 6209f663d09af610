"""The work as PyTorch does it.

Tried on one thread, 2 layers of 128, and dropped for being slower or no faster:
- one-hot input as `F.one_hot(...).float()` or `eye[tokens]`: 5 times the time of a frozen embedding of an identity;
- Adam with `foreach` or in its plain loop (2-5% of a step slower than `fused`), training with oneDNN off (45%);
- a step as `nn.LSTM` with T = 1: it packs its weights at every call, so that `lstm_cell` is 4 to 9 times as fast, and
  still 2 times `nn.LSTM` with oneDNN off; tracing the one and compiling the other, weights frozen, gain nothing;
- a layer with oneDNN off and B = 1: a sequence takes 8 times as long at H = 32, 1.2 times at H = 256, a tenth less at
  H = 1024, where other peers are faster still; forward and back 2 to 16 times as long;
- drawing by `torch.multinomial`: 15% slower than a race of exponential variables;
- GRU and plain cell: a loop over `gru_cell` and `rnn_tanh_cell` takes 1.1 to 2 times as long as the module; oneDNN off
  gains nothing.

A ragged batch is computed with its padding, which is then put to zero; `pytorch_packed` packs it. At T=100 B=32 H=256,
lengths evenly from 1 to T, packing takes 0.8 times as long forward, and 2.5 times as long forward and back.
"""

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fastlstm.cells import Layout
from fastlstm.corpus import Windows
from work import Call, Inference, LanguageTraining, LayerTraining, Sampling, Streaming

Cell = list[torch.Tensor]
State = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
Window = tuple[torch.Tensor, torch.Tensor]

EVALUATION_WINDOW = 1024  # steps at once

set_threads = torch.set_num_threads


def stack(layout: Layout, parameters: Mapping[str, np.ndarray]) -> nn.RNNBase:
    """An `nn.LSTM`, `nn.GRU` or `nn.RNN` with these parameters."""
    cell, D = layout.layers[0][0], len(layout.layers[0])
    kind = getattr(nn, cell.kind.upper())
    module = kind(cell.input_size, cell.hidden_size, len(layout.layers), bidirectional=D == 2)
    module.load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})
    return module


def _cells(module: nn.LSTM) -> list[Cell]:
    """The parameters of each layer, as `torch.lstm_cell` takes them."""
    return [list(module._flat_weights[4 * k : 4 * k + 4]) for k in range(module.num_layers)]


# ---- layers ---------------------------------------------------------------------------------------------------------

def streaming(work: Streaming) -> Call:
    """A step: one `lstm_cell`."""
    (cell,), x = _cells(stack(work.layout, work.parameters())), torch.from_numpy(work.input()[0])
    state = torch.zeros(1, work.H), torch.zeros(1, work.H)

    @torch.inference_mode()
    def step() -> torch.Tensor:
        nonlocal state
        state = torch.lstm_cell(x, state, *cell)
        return state[0]

    return step


def inference(work: Inference) -> Call:
    """A sequence."""
    module, x = stack(work.layout, work.parameters()), torch.from_numpy(work.input())
    if work.lengths is None:
        return torch.inference_mode()(lambda: module(x)[0])
    valid = torch.from_numpy(work.valid())
    return torch.inference_mode()(lambda: module(x)[0].mul_(valid))


def layer_training(work: LayerTraining) -> Call:
    """Forward and back."""
    module, dy = stack(work.layout, work.parameters()), torch.from_numpy(work.output_gradient())
    x = torch.from_numpy(work.input()).requires_grad_()
    return lambda: torch.autograd.grad(module(x)[0], (x, *module.parameters()), dy)


# ---- language models ------------------------------------------------------------------------------------------------

class LanguageModel(nn.Module):
    """Tokens (T, B) to logits (T, B, V), with the parameters of a language model of fastlstm, by its names."""

    def __init__(self, layout: Layout, parameters: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.V, self.H = parameters["output.weight"].shape
        vectors = parameters.get("embedding.weight")
        self.one_hot = vectors is None
        self.embedding = nn.Embedding.from_pretrained(
            torch.eye(self.V) if self.one_hot else torch.tensor(vectors), freeze=self.one_hot
        )
        section = f"{layout.layers[0][0].kind}."
        own = {name.removeprefix(section): array for name, array in parameters.items() if name.startswith(section)}
        self.stack = stack(layout, own)
        self.output = nn.Linear(self.H, self.V)
        with torch.no_grad():
            self.output.weight.copy_(torch.tensor(parameters["output.weight"]))
            self.output.bias.copy_(torch.tensor(parameters["output.bias"]))
        self.trained = [p for p in self.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.trained, lr=2e-3, fused=True)

    def forward(self, tokens: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        """Logits (T * B, V), and the state."""
        y, state = self.stack(self.embedding(tokens), state)
        return self.output(y.flatten(0, 1)), state

    def train_window(self, tokens: torch.Tensor, targets: torch.Tensor, state: State | None) -> tuple[float, State]:
        """An Adam step on the mean loss of a window (T, B), gradients clipped to norm 5; that loss, and the state."""
        self.optimizer.zero_grad(set_to_none=True)
        logits, state = self(tokens, state)
        loss = functional.cross_entropy(logits, targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 5.0)
        self.optimizer.step()
        carried = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        return loss.item(), carried

    def train_epoch(self, windows: Iterable[Window]) -> float:
        """The mean loss of a pass over the windows, from the zero state, the state carried."""
        state, losses = None, []
        for tokens, targets in windows:
            loss, state = self.train_window(tokens, targets, state)
            losses.append(loss)
        return sum(losses) / len(losses)

    @torch.inference_mode()
    def evaluate(self, ids: np.ndarray) -> float:
        """The mean loss of every symbol but the first, given all before it, from the zero state."""
        state, total = None, 0.0
        for tokens, targets in windows(ids, EVALUATION_WINDOW, 1):
            logits, state = self(tokens, state)
            total += functional.cross_entropy(logits, targets.flatten(), reduction="sum").item()
        return total / (len(ids) - 1)

    @torch.inference_mode()
    def sample(self, length: int) -> list[int]:
        """Symbols drawn one after another at temperature 1, the first from a uniform distribution."""
        layers, vectors = _cells(self.stack), self.embedding.weight
        states = [(torch.zeros(1, self.H), torch.zeros(1, self.H))] * len(layers)
        drawn = [torch.randint(self.V, (1,))]
        while len(drawn) < length:
            x = vectors.index_select(0, drawn[-1])
            for k, layer in enumerate(layers):
                states[k] = torch.lstm_cell(x, states[k], *layer)
                x = states[k][0]
            logits = functional.linear(x, self.output.weight, self.output.bias)
            drawn.append((logits - torch.empty_like(logits).exponential_().log_()).argmax(1))
        return torch.cat(drawn).tolist()


def windows(ids: np.ndarray, T: int, B: int) -> list[Window]:
    """Tokens and targets (T, B) of each window of a text, as fastlstm cuts it."""
    cut = Windows(ids, T, B)
    return [tuple(torch.from_numpy(part).long() for part in cut[k]) for k in range(len(cut))]


def language_training(work: LanguageTraining) -> Call:
    """An epoch."""
    model = LanguageModel(work.layout, work.parameters())
    return partial(model.train_epoch, windows(work.text(), work.T, work.B))


def sampling(work: Sampling) -> Call:
    """A text."""
    model = LanguageModel(work.layout, work.parameters())
    return lambda: model.sample(work.length)
