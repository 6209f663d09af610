"""The scenarios' counterparts in PyTorch, each in the fastest way found.

Tried on one thread, 2 layers of 128, and dropped for being slower or no faster:
- one-hot input as `F.one_hot(...).float()` or `eye[tokens]`: 5 times the time of a frozen embedding of an identity;
- Adam with `foreach` or in its plain loop (2-5% of a step slower than `fused`), training with oneDNN off (45%);
- a step as `nn.LSTM` with T = 1: it packs its weights at every call, so that `lstm_cell` is 4 to 9 times as fast, and
  still 2 times `nn.LSTM` with oneDNN off; tracing the one and compiling the other, weights frozen, gain nothing;
- drawing by `torch.multinomial`: 15% slower than a race of exponential variables.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Cell = list[torch.Tensor]

tensor = torch.from_numpy


def set_threads(n: int) -> None:
    """Compute on n threads."""
    torch.set_num_threads(n)


def lstm(parameters: Mapping[str, np.ndarray], num_layers: int = 1) -> nn.LSTM:
    """An `nn.LSTM` with these parameters."""
    width, H = parameters["weight_ih_l0"].shape[1], parameters["weight_hh_l0"].shape[1]
    module = nn.LSTM(width, H, num_layers)
    module.load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})
    return module


def cells(module: nn.LSTM) -> list[Cell]:
    """The parameters of each layer, as `torch.lstm_cell` takes them."""
    return [list(module._flat_weights[4 * k : 4 * k + 4]) for k in range(module.num_layers)]


class LanguageModel(nn.Module):
    """Tokens (T, B) to logits (T, B, V), with the parameters of a language model of fastlstm, by its names."""

    def __init__(self, parameters: Mapping[str, np.ndarray], num_layers: int) -> None:
        super().__init__()
        self.V, self.H = parameters["output.weight"].shape
        vectors = parameters.get("embedding.weight")
        self.one_hot = vectors is None
        self.embedding = nn.Embedding.from_pretrained(
            torch.eye(self.V) if self.one_hot else torch.tensor(vectors), freeze=self.one_hot
        )
        own = {name.removeprefix("lstm."): array for name, array in parameters.items() if name.startswith("lstm.")}
        self.lstm = lstm(own, num_layers)
        self.output = nn.Linear(self.H, self.V)
        with torch.no_grad():
            self.output.weight.copy_(torch.tensor(parameters["output.weight"]))
            self.output.bias.copy_(torch.tensor(parameters["output.bias"]))
        self.trained = [p for p in self.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.trained, lr=2e-3, fused=True)

    def train_window(
        self, tokens: torch.Tensor, targets: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[float, tuple[torch.Tensor, torch.Tensor]]:
        """An Adam step on the mean loss of a window (T, B), gradients clipped to norm 5; that loss, and the state."""
        self.optimizer.zero_grad(set_to_none=True)
        y, state = self.lstm(self.embedding(tokens), state)
        loss = functional.cross_entropy(self.output(y.flatten(0, 1)), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 5.0)
        self.optimizer.step()
        return loss.item(), tuple(part.detach() for part in state)

    def train_epoch(self, tokens: torch.Tensor, targets: torch.Tensor, T: int) -> float:
        """The mean loss of a pass over (steps, B) in windows of T, from the zero state, the state carried."""
        state, losses = None, []
        for start in range(0, len(tokens), T):
            loss, state = self.train_window(tokens[start : start + T], targets[start : start + T], state)
            losses.append(loss)
        return sum(losses) / len(losses)

    @torch.inference_mode()
    def sample(self, length: int) -> list[int]:
        """Symbols drawn one after another at temperature 1, the first from a uniform distribution."""
        layers, vectors = cells(self.lstm), self.embedding.weight
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


class Stream:
    """One layer, a step at a time, its state carried."""

    def __init__(self, parameters: Mapping[str, np.ndarray]) -> None:
        self._layer = cells(lstm(parameters))[0]
        H = parameters["weight_hh_l0"].shape[1]
        self._state = torch.zeros(1, H), torch.zeros(1, H)

    @torch.inference_mode()
    def step(self, x: torch.Tensor) -> torch.Tensor:
        """The output (1, H) after the input x (1, I)."""
        self._state = torch.lstm_cell(x, self._state, *self._layer)
        return self._state[0]


@torch.inference_mode()
def run(module: nn.LSTM, x: torch.Tensor) -> torch.Tensor:
    """Outputs (T, B, H) of a sequence (T, B, I)."""
    return module(x)[0]


def gradients(module: nn.LSTM, x: torch.Tensor, dy: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Forward and back: gradients with respect to x and every parameter, in the module's order."""
    y, _ = module(x)
    return torch.autograd.grad(y, (x, *module.parameters()), dy)
