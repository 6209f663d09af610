"""The work as PyTorch does it.

Tried on one thread, 2 layers of 128, and dropped for being slower or no faster:
- one-hot input as `F.one_hot(...).float()` or `eye[tokens]`: 5 times the time of a frozen embedding of an identity;
- Adam with `foreach` or in its plain loop (2-5% of a step slower than `fused`), training with oneDNN off (45%);
- a step as `nn.LSTM` with T = 1: it packs its weights at every call, so that `lstm_cell` is 4 to 9 times as fast, and
  still 2 times `nn.LSTM` with oneDNN off; tracing the one and compiling the other, weights frozen, gain nothing;
- a layer with oneDNN off and B = 1: a sequence takes 8 times as long at H = 32, 1.2 times at H = 256, a tenth less at
  H = 1024, where other peers are faster still; forward and back 2 to 16 times as long;
- drawing by `torch.multinomial`: 15% slower than a race of exponential variables.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from work import Call, Inference, LanguageTraining, LayerTraining, Sampling, Streaming

Cell = list[torch.Tensor]

set_threads = torch.set_num_threads


def _lstm(parameters: Mapping[str, np.ndarray], num_layers: int = 1) -> nn.LSTM:
    """An `nn.LSTM` with these parameters."""
    I, H = parameters["weight_ih_l0"].shape[1], parameters["weight_hh_l0"].shape[1]
    module = nn.LSTM(I, H, num_layers)
    module.load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})
    return module


def _cells(module: nn.LSTM) -> list[Cell]:
    """The parameters of each layer, as `torch.lstm_cell` takes them."""
    return [list(module._flat_weights[4 * k : 4 * k + 4]) for k in range(module.num_layers)]


# ---- layers ---------------------------------------------------------------------------------------------------------

def streaming(work: Streaming) -> Call:
    """A step: one `lstm_cell`."""
    (cell,), x = _cells(_lstm(work.parameters())), torch.from_numpy(work.input()[0])
    state = torch.zeros(1, work.H), torch.zeros(1, work.H)

    @torch.inference_mode()
    def step() -> torch.Tensor:
        nonlocal state
        state = torch.lstm_cell(x, state, *cell)
        return state[0]

    return step


def inference(work: Inference) -> Call:
    """A sequence."""
    module, x = _lstm(work.parameters()), torch.from_numpy(work.input())

    @torch.inference_mode()
    def run() -> torch.Tensor:
        return module(x)[0]

    return run


def layer_training(work: LayerTraining) -> Call:
    """Forward and back."""
    module, dy = _lstm(work.parameters()), torch.from_numpy(work.input())
    x = dy.clone().requires_grad_()
    return lambda: torch.autograd.grad(module(x)[0], (x, *module.parameters()), dy)


# ---- language models ------------------------------------------------------------------------------------------------

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
        self.lstm = _lstm(own, num_layers)
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
        layers, vectors = _cells(self.lstm), self.embedding.weight
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


def language_training(work: LanguageTraining) -> Call:
    """An epoch."""
    model, (tokens, targets) = LanguageModel(work.parameters(), work.L), map(torch.tensor, work.streams())
    return lambda: model.train_epoch(tokens, targets, work.T)


def sampling(work: Sampling) -> Call:
    """A text."""
    model = LanguageModel(work.parameters(), work.L)
    return lambda: model.sample(work.length)
