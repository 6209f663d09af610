"""`Model`: a task, its data, its training, its files."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import copy_context
from functools import partial, wraps
from inspect import signature
from numbers import Real
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastlstm import _check, checkpoint, config, corpus, fitting, model_file, predict, training
from fastlstm.complete import complete
from fastlstm.corpus import Data
from fastlstm.fitting import Callback
from fastlstm.network import LanguageNetwork
from fastlstm.optim import Optimizer
from fastlstm.predict import SymbolStream
from fastlstm.sample import Generator
from fastlstm.schedules import Schedule
from fastlstm.session import Options, Position
from fastlstm.text import is_text, not_a_file_name, read
from fastlstm.trace import Trace, trace
from fastlstm.vocabulary import Vocabulary

_Fit = TypeVar("_Fit", bound=Callable[..., list[dict[str, Any]]])


def _refuse_targets(y: None) -> None:
    if y is not None:
        raise ValueError("y must be None: a language model's targets are the text itself")


def _noting_given(fit: _Fit) -> _Fit:
    """`fit`, with its argument `given`, which callers do not see, filled with the names of the options that they pass."""

    @wraps(fit)
    def noting(self: Model, /, x: Data, y: None = None, **options: Any) -> list[dict[str, Any]]:
        return fit(self, x, y, given=options.keys(), **options)

    whole = signature(fit)
    noting.__signature__ = whole.replace(parameters=[p for p in whole.parameters.values() if p.name != "given"])
    return noting


class Model:
    """A recurrent network for a task, with its vocabulary, its training and its files.

    task="language": predicts the next symbol of a text, so it can write text, and measure how predictable text is.

    Args:
        task: "language".
        cell: "lstm", "gru" or "rnn" (the plain cell), as in `fastlstm.LSTM`, `GRU` and `RNN`.
        hidden_size: H, units of each layer; or a list of them, one for each layer.
        num_layers: L; with a list of hidden sizes it is best left out: the default, 2, is then as many as these.
        embedding: E, width of a learnt vector for each symbol; None feeds one-hot vectors.
        tied: whether these vectors are the output layer's weights too (Press & Wolf 2017); E is then the width of the
            output: H, or with `skip` and `proj_size` what these make of it.
        dropout: probability of dropping each output between layers while training, in [0, 1).
        recurrent_dropout: that of dropping each unit's h inside the recurrence, the same ones through a window, in [0, 1).
        bidirectional: only False makes sense for the next symbol.
        skip: whether every layer reads the input too, and the output layer reads all layers (Graves 2013).
        bias, clip: of every cell, see `LSTM`.
        peephole, coupled, proj_size: of the LSTM.
        activation, recurrent_activation: of the LSTM and the GRU.
        reset_after: of the GRU; see `GRU`.
        nonlinearity: of the plain cell; see `RNN`.
        initializer: of the weights: "uniform", "xavier" or "orthogonal", as in `LSTM`.
        symbols: "characters" (Unicode code points), "bytes" or "words" (with the space before them; see `Vocabulary`).
        vocabulary: the symbols in id order, "<unk>" for all others if it is among them; None takes those of the first text
            given to `fit`, its validation included. Bytes need none.
        max_symbols: most symbols taken from that text, the most frequent ones and "<unk>"; None is all characters, and
            10,000 words.
        min_count: how often a symbol must occur there to be taken.
        dtype: "float32" or "float64".
        seed: of initial weights, dropout and sampling; None draws one (kept in `seed`).

    >>> model = Model(hidden_size=16, num_layers=1, seed=0)
    >>> history = model.fit("abc" * 400, epochs=20, batch_size=4, seq_length=25, progress=False)
    >>> model.sample(6, prompt="ab", temperature=0)
    'cabcab'
    """

    def __init__(
        self, task: str = "language", *, cell: str = "lstm", hidden_size: int | Sequence[int] = 128,
        num_layers: int = config.NUM_LAYERS, embedding: int | None = None, tied: bool = False, bias: bool = True,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, bidirectional: bool = False, peephole: str | None = None,
        coupled: bool = False, skip: bool = False, activation: str = "tanh", recurrent_activation: str = "sigmoid",
        clip: float | None = None, proj_size: int = 0, reset_after: bool = True, nonlinearity: str = "tanh",
        initializer: str = "uniform", symbols: str = "characters", vocabulary: Iterable[str] | None = None,
        max_symbols: int | None = None, min_count: int = 1, dtype: DTypeLike = "float32", seed: int | None = None,
    ) -> None:
        if _check.flag("bidirectional", bidirectional):
            raise ValueError("a language model cannot be bidirectional: the reverse direction would see the next symbol")
        self.config = config.checked({
            "task": task, "cell": cell, "hidden_size": hidden_size, "num_layers": num_layers, "embedding": embedding,
            "tied": tied, "bias": bias, "dropout": dropout, "recurrent_dropout": recurrent_dropout, "peephole": peephole,
            "coupled": coupled, "skip": skip, "activation": activation, "recurrent_activation": recurrent_activation,
            "clip": clip, "proj_size": proj_size, "reset_after": reset_after, "nonlinearity": nonlinearity,
            "initializer": initializer, "symbols": symbols, "max_symbols": max_symbols, "min_count": min_count, "dtype": dtype,
        })
        self.seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else _check.count("seed", seed, 0)
        self._rng = np.random.default_rng(self.seed)
        self._training = threading.Lock()
        self.vocabulary: Vocabulary | None = None
        self.network: LanguageNetwork | None = None
        self._optimizer: Optimizer | None = None
        self._options: Options | None = None
        self._position: Position | None = None
        if vocabulary is not None or symbols == "bytes":
            self._build(Vocabulary(symbols, vocabulary or ()))

    def _build(self, vocabulary: Vocabulary) -> None:
        if not len(vocabulary):
            raise ValueError("the vocabulary is empty")
        sizes = {name: self.config[name] for name in ("cell", "hidden_size", "num_layers", "embedding", "tied")}
        self.network = LanguageNetwork(len(vocabulary), self._rng, **sizes, **config.stack_options(self.config))
        self.vocabulary = vocabulary

    def _ids(self, x: Data) -> np.ndarray:
        return corpus.encode(self.vocabulary, not_a_file_name(x))

    def _built(self) -> LanguageNetwork:
        if self.network is None:
            raise ValueError("the model has no vocabulary yet: call fit, or give one to Model(vocabulary=...)")
        return self.network

    @property
    def parameters(self) -> Mapping[str, np.ndarray]:
        """Read-only arrays by name: `lstm.weight_ih_l0`, …, `output.weight`; empty before the vocabulary is known."""
        return self.network.parameters.public if self.network else MappingProxyType({})

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters by name."""
        return {name: array.copy() for name, array in self.parameters.items()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Copy all parameters from `state_dict`, such as those of a model of PyTorch by the names that are here.

        Args:
            state_dict: exactly these names and shapes.

        Raises:
            ValueError: the model has no vocabulary yet, or names or shapes differ; nothing has changed.

        >>> model = Model(hidden_size=2, num_layers=1, vocabulary="ab", seed=0)
        >>> model.load_state_dict({name: np.zeros(a.shape) for name, a in model.parameters.items()})
        >>> model.predict_proba("a").tolist()
        [[0.5, 0.5]]
        """
        self._built().parameters.load(state_dict)

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per epoch of the latest training, resumed sessions included."""
        return list(self._position.history) if self._position else []

    @property
    def epochs_finished(self) -> int:
        """Whole epochs of the latest training."""
        return self._position.epoch if self._position else 0

    @property
    def options(self) -> Options | None:
        """How the latest training was done."""
        return self._options

    # ---- training ------------------------------------------------------------------------------------------------

    @_noting_given
    def fit(
        self, x: Data, y: None = None, *, epochs: int = 50, batch_size: int = 50, seq_length: int = 50,
        optimizer: str = "adam", learning_rate: float = 2e-3, schedule: Schedule | None = None,
        clip_norm: float | None = 5.0, clip_value: float | None = None, validation: float | Data | None = 0.05,
        patience: int | None = None, restore_best: bool = False, max_seconds: float | None = None,
        checkpoint: str | os.PathLike | None = None, checkpoint_every: float | None = None, resume: bool = False,
        callbacks: Callback | Iterable[Callback] = (), progress: bool | None = None, threads: int | None = None,
        given: Collection[str] = (),
    ) -> list[dict[str, Any]]:
        """Train on a text by truncated back-propagation through time.

        The text is cut into `batch_size` streams, each read in windows of at most `seq_length` symbols; the state is
        carried from window to window and is zero at the start of each epoch. Continues from the present weights, and
        from the optimiser's moments if the optimiser is the same. Where it stops, by Ctrl-C too, the model is whole.

        Args:
            x: the text: str, bytes, a Path, a list of these, or integer ids (N,).
            y: must be None for text.
            epochs: additional passes over the text; with `resume`, the total since the start.
            batch_size: B, streams read side by side.
            seq_length: T, steps gradients are followed back.
            optimizer: "adam", "adamw", "rmsprop", "momentum" or "sgd", with PyTorch's defaults (`fastlstm.optim`).
            learning_rate: of the optimiser, more than 0.
            schedule: one of `fastlstm.schedules`, or None for a constant rate.
            clip_norm: largest norm of all gradients together; None for no limit.
            clip_value: largest size of each gradient, applied before `clip_norm`; None for no limit.
            validation: the fraction at the end of the text, in [0, 1), or a text of its own, that is never trained on and
                is evaluated after each epoch; None for none.
            patience: stop after this many epochs in a row without a smaller loss (validation's if there is one); None never.
            restore_best: end with the weights of the epoch with the smallest loss; checkpoints hold the last ones, from which
                resuming goes on.
            max_seconds: stop after about this time.
            checkpoint: file that receives the model after each epoch, before the callbacks, and at the end, by Ctrl-C too; a
                model that is there is replaced.
            checkpoint_every: seconds between further checkpoints, inside the epochs too.
            resume: go on from the checkpoint this model was loaded from, in the middle of its epoch, to the same weights
                as without the stop (on the same engine, instruction set and number of threads). `x` must be the same text.
                Options that are not given are taken from the checkpoint; batch_size, seq_length and validation cannot be
                changed.
            callbacks: functions, or one, called as callback(model, record) after each epoch.
            progress: show progress on standard error; None if it is a terminal.
            threads: most threads that compute, on which the last bits depend; None is `fastlstm.get_threads()`, or what
                the checkpoint has with `resume`.

        Returns:
            One dict per finished epoch: epoch (the first is 1), loss (nats per symbol, while training),
            bits_per_symbol, validation_loss, validation_bits_per_symbol, best (whether no epoch before had a smaller loss,
            validation's if there is one), learning_rate, symbols_per_second, seconds. An epoch cut off by `max_seconds` gets
            one too, until it is finished by resuming.

        Raises:
            FloatingPointError: the loss or a gradient is NaN or infinite (the weights are those before it), or a weight, or the
                loss on the validation text.
            ValueError: among others, a text shorter than one window.
            RuntimeError: another thread is training this model.
        """
        _refuse_targets(y)
        if not self._training.acquire(blocking=False):
            raise RuntimeError("this model is being trained in another thread")
        try:
            is_fraction = isinstance(validation, Real | None)
            options = Options(
                epochs=epochs, batch_size=batch_size, seq_length=seq_length, optimizer=optimizer, learning_rate=learning_rate,
                schedule=schedule, clip_norm=clip_norm, clip_value=clip_value, validation=validation if is_fraction else None,
                patience=patience, restore_best=restore_best, threads=threads,
            )
            return fitting.fit(
                self, x, None if is_fraction else validation, options, given, resume=resume, max_seconds=max_seconds,
                checkpoint=checkpoint, checkpoint_every=checkpoint_every, callbacks=callbacks, progress=progress,
            )
        finally:
            self._training.release()

    def hold(self, *, layers: int | Iterable[int] | None = None, **gates: ArrayLike) -> AbstractContextManager[None]:
        """Hold gates at values of your own inside a `with` block: what the model then writes, expects and learns.

        Args:
            layers, gates: as `fastlstm.LSTM.hold` has them.

        Returns:
            What `with` takes: outside of it nothing is held.

        Raises:
            ValueError: the model has no vocabulary yet; or naming the gate, what was expected and what came.
            IndexError: a layer the model does not have.

        >>> model = Model(hidden_size=16, num_layers=1, vocabulary="ab", seed=0)
        >>> with model.hold(output_gate=0.0):  # nothing gets out of the layer: one distribution after all texts
        ...     p = model.predict_proba("abba")
        >>> bool((p == p[0]).all())
        True
        """
        return self._built().stack.hold(layers=layers, **gates)

    # ---- using ---------------------------------------------------------------------------------------------------

    def evaluate(self, x: Data, y: None = None) -> dict[str, float]:
        """How well the model predicts a text: every symbol but the first, given all before it, from the zero state.

        Args:
            x: as in `fit`, at least 2 symbols.
            y: must be None for text.

        Returns:
            {"loss": nats per symbol, "bits_per_symbol", "perplexity"}.

        Raises:
            ValueError: the model has no vocabulary yet, a symbol is not in it, or the text is shorter than 2 symbols.
            FloatingPointError: the weights are NaN or infinite, or the output becomes so.
        """
        _refuse_targets(y)
        network, ids = self._built(), self._ids(x)
        if len(ids) < 2:
            raise ValueError(f"the text must have at least 2 symbols, got {len(ids)}")
        return training.metrics(training.evaluate(network, ids))

    def surprisal(self, x: Data) -> np.ndarray:
        """How unexpected each symbol of a text is: -log p(symbol | all before it), from the zero state.

        Args:
            x: as in `fit`.

        Returns:
            (N,) float64, in nats. The first symbol has nothing before it and is judged by how often it occurred in the
            training text, counted once more than it did.

        Raises:
            ValueError, FloatingPointError: as `evaluate`, of a text of any length.
        """
        network, ids = self._built(), self._ids(x)
        counts = self.vocabulary.counts + 1
        first = np.log(counts.sum()) - np.log(counts[ids[:1]])
        return np.concatenate([first, *training.losses(network, ids)])

    def predict_proba(self, x: Data) -> np.ndarray:
        """How likely every symbol of the vocabulary is to come next, after each symbol of a text, from the zero state.

        Args:
            x: as in `fit`, N symbols.

        Returns:
            (N, V) of the model's dtype, rows of sum 1 in the order of `vocabulary.symbols` (bytes: by value). Row n is of the
            symbol after x[n]; the last one of what would follow the text.

        Raises:
            ValueError: the model has no vocabulary yet, or a symbol is not in it.
            FloatingPointError: the weights are NaN or infinite.
            MemoryError: the probabilities would not fit into this machine's memory.

        >>> model = Model(hidden_size=16, num_layers=1, vocabulary="ab", seed=0)
        >>> model.predict_proba("abba").shape
        (4, 2)
        """
        return predict.probabilities(self._built(), self._ids(x))

    def predict(self, x: Data) -> list[str] | list[bytes]:
        """The symbol that is the likeliest to come next, after each symbol of a text: `predict_proba`'s largest.

        Args:
            x: as in `fit`, N symbols.

        Returns:
            N symbols; `<unk>`, where the vocabulary has it, stands for all that it does not know.

        Raises:
            ValueError, FloatingPointError: as `predict_proba`.
        """
        network = self._built()
        names = self.vocabulary.each()
        return [names[token] for token in predict.likeliest(network, self._ids(x))]

    def stream(self, batch_size: int = 1) -> SymbolStream:
        """Texts read one symbol at a time, the state carried; each step tells what may come next.

        Args:
            batch_size: B, texts read side by side.

        Returns:
            A `SymbolStream` from the zero state, with `step(symbols)`, `state` and `reset()`. Copies go on from its state.

        Raises:
            ValueError: the model has no vocabulary yet.

        >>> stream = Model(hidden_size=16, num_layers=1, vocabulary="ab", seed=0).stream()
        >>> stream.step("a").shape
        (1, 2)
        """
        return SymbolStream(self._built(), self.vocabulary, _check.count("batch_size", batch_size))

    def trace(
        self, x: Data, *, layers: int | Iterable[int] | None = None, quantities: str | Iterable[str] | None = None
    ) -> Trace:
        """Every gate and state of every neuron while the model reads a text, from the zero state.

        Args:
            x: as in `fit`.
            layers, quantities: which of them to keep, by number and name, one or several, where all would take too much memory;
                None is all.

        Returns:
            `trace.layers[k].cell_state`, `hidden_state`, `forget_gate`, `input_gate`, `candidate` and `output_gate`, each
            (T, H) and of the model's dtype (`hidden_state` of projected layers has `proj_size` columns); `trace.symbols`,
            `trace.tokens`, `trace.probabilities`.

        Raises:
            ValueError: the model has no vocabulary yet, a symbol is not in it, or a quantity is not one of its cells'.
            IndexError: a layer the model does not have.
            MemoryError: the trace would not fit into this machine's memory.
        """
        network = self._built()
        if is_text(x):
            text = read(self.vocabulary.kind, not_a_file_name(x))
            symbols, ids = self.vocabulary.split(text), self.vocabulary.encode(text)
        else:
            ids = self._ids(x)
            names = self.vocabulary.each()
            symbols = [names[id_] for id_ in ids.tolist()]
        return trace(network, symbols, np.ascontiguousarray(ids, np.int32), layers, quantities)

    def _generator(
        self, length: int, prompts: Sequence[str | bytes], temperature: float, top_k: int | None, top_p: float | None,
        stop: str | bytes | None, seed: int | None,
    ) -> Generator:
        network = self._built()
        _check.count("length", length, least=0)
        rng = self._rng if seed is None else np.random.default_rng(_check.count("seed", seed, 0))
        return Generator(network, self.vocabulary, prompts, temperature, top_k, top_p, stop, rng)

    def sample(
        self, length: int = 500, prompt: str | bytes | Sequence[str | bytes] = "", *, temperature: float = 1.0,
        top_k: int | None = None, top_p: float | None = None, stop: str | bytes | None = None, seed: int | None = None,
    ) -> str | bytes | list[str] | list[bytes]:
        """Write text, or several texts at once, which is faster than one after another.

        Args:
            length: symbols to write, at least 0.
            prompt: the text to go on from; with an empty one the first symbol is drawn by the training frequencies. A list
                of prompts gives a list of texts: `[""] * 100` is a hundred.
            temperature: divides the logits: below 1 safer, above 1 wilder; 0 takes the likeliest each time.
            top_k: keep only this many of the likeliest symbols; None keeps all.
            top_p: keep only the likeliest symbols that together reach this probability (nucleus sampling, Holtzman et al.
                2020), in (0, 1]; None keeps all.
            stop: end once this has been written (it is part of the result).
            seed: same seed, same texts for the same prompts; None draws from the model's own generator.

        Returns:
            The text without the prompt: str, or bytes from a model of bytes; a list of them for a list of prompts. "<unk>"
            is never written: the other symbols have its probability.

        Raises:
            ValueError: the model has no vocabulary yet, a symbol of a prompt is not in it, or an option is out of its range.
            FloatingPointError: the weights are NaN or infinite.
            MemoryError: the texts would not fit into this machine's memory; `sample_iter` keeps none of them.
        """
        many = isinstance(prompt, list | tuple)
        prompts = prompt if many else [prompt]
        generator = self._generator(length, prompts, temperature, top_k, top_p, stop, seed)
        _check.memory("the texts", length * len(prompts), np.dtype(np.int32))
        texts = generator.texts(length)
        return texts if many else texts[0]

    def sample_iter(
        self, length: int = 500, prompt: str | bytes = "", *, temperature: float = 1.0, top_k: int | None = None,
        top_p: float | None = None, stop: str | bytes | None = None, seed: int | None = None,
    ) -> Iterator[str | bytes]:
        """The text `sample` would return, one symbol at a time, as it is written, on the engine and with the gates held now."""
        pieces = self._generator(length, [prompt], temperature, top_k, top_p, stop, seed).pieces(length, 1)
        following = partial(copy_context().run, next, pieces, None)  # with gates held, and on the engine, as they are now
        return (text for (text,) in iter(following, None))

    def complete(
        self, prefix: str | bytes, n: int = 5, *, length: int | None = None
    ) -> list[tuple[str, float]] | list[tuple[bytes, float]]:
        """The likeliest continuations of a text.

        Args:
            prefix: the text to continue; what follows an empty one is judged by the training frequencies.
            n: how many, at least 1; there may be fewer.
            length: symbols of each continuation; None goes to the end of the word being written (one symbol for a model of
                words): the probability is then that of this word, or rest of a word, and not a longer one.

        Returns:
            [(continuation, probability)], likeliest first. "<unk>" is in none: the other symbols have its probability.

        Raises:
            ValueError: the model has no vocabulary yet, or a symbol of the text is not in it.
            FloatingPointError: the weights are NaN or infinite.
        """
        network = self._built()
        return complete(
            network, self.vocabulary, prefix, _check.count("n", n), _check.optional(_check.count, "length", length)
        )

    # ---- files ---------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write everything to one safetensors file: weights, vocabulary, optimiser, generator, position in training.

        The file at `path` is replaced whole or not at all.
        """
        self._built()
        checkpoint.write(path, *model_file.pack(self))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Model:
        """The model in a file written by `save` or by `fit`'s checkpoints.

        Raises:
            CheckpointError: the file is damaged, foreign, inconsistent, or of a newer format.
            ValueError: it is a pickle.
        """
        arrays, sections = checkpoint.read(path)
        with checkpoint.errors_named(path):
            return model_file.unpack(cls, arrays, sections)

    @classmethod
    def _from_bytes(cls, content: bytes) -> Model:
        return model_file.unpack(cls, *checkpoint.decode(content))

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        """Pickle and copy through the bytes of a model file."""
        if self.network is None:
            return partial(type(self), **self.config, seed=self.seed), ()
        self.network.stack.refuse_copies()
        return type(self)._from_bytes, (checkpoint.encode(*model_file.pack(self)),)

    def __repr__(self) -> str:
        """The configuration and the number of parameters."""
        size = sum(array.size for array in self.parameters.values())
        c = self.config
        H = c["hidden_size"]
        layers = f"{c['num_layers']}x{H}" if isinstance(H, int) else "-".join(map(str, H))
        symbols = f"{len(self.vocabulary)} {c['symbols']}" if self.vocabulary else "no vocabulary yet"
        return f"<Model {c['task']} {c['cell']} {layers}, {symbols}, {size:,} parameters>"
