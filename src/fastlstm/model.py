"""`Model`: a task, its data, its training, its files."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastlstm import _check, checkpoint, training
from fastlstm.checkpoint import CheckpointError
from fastlstm.network import LanguageNetwork
from fastlstm.optim import OPTIMIZERS, Adam, Exponential
from fastlstm.progress import Progress
from fastlstm.sample import Generator
from fastlstm.text import SYMBOLS, TextSource, Vocabulary, read
from fastlstm.threads import get_threads

TASKS = ("language",)
CELLS = ("lstm",)

Data = TextSource | ArrayLike


def _is_text(x: Data) -> bool:
    """Whether x is text to be read and encoded, not ids."""
    parts = x if isinstance(x, list | tuple) and x else [x]
    return all(isinstance(part, str | bytes | Path) for part in parts)


class Model:
    """A recurrent network for a task, with its vocabulary, its training and its files.

    task="language": predicts the next symbol of a text, so it can write text, and measure how predictable text is.

    Args:
        task: "language".
        cell: "lstm".
        hidden_size: H, units of each layer.
        num_layers: L.
        embedding: E, width of a learnt vector for each symbol; None feeds one-hot vectors.
        dropout: probability of dropping each output between layers while training, in [0, 1).
        symbols: "characters" (Unicode code points) or "bytes".
        vocabulary: the characters in id order; None takes those of the first text given to `fit`. Bytes need none.
        dtype: "float32" or "float64".
        seed: of initial weights, dropout and sampling; None draws one (kept in `seed`).

    >>> model = Model(hidden_size=16, num_layers=1, seed=0)
    >>> history = model.fit("abc" * 400, epochs=20, batch_size=4, seq_length=25, progress=False)
    >>> model.sample(6, prompt="ab", temperature=0)
    'cabcab'
    """

    def __init__(
        self, task: str = "language", *, cell: str = "lstm", hidden_size: int = 128, num_layers: int = 2,
        embedding: int | None = None, dropout: float = 0.0, symbols: str = "characters",
        vocabulary: Iterable[str] | None = None, dtype: DTypeLike = "float32", seed: int | None = None,
    ) -> None:
        self.config: dict[str, Any] = {
            "task": _check.choice("task", task, TASKS),
            "cell": _check.choice("cell", cell, CELLS),
            "hidden_size": _check.count("hidden_size", hidden_size),
            "num_layers": _check.count("num_layers", num_layers),
            "embedding": None if embedding is None else _check.count("embedding", embedding),
            "dropout": _check.number("dropout", dropout, 0, 1, open_ends=")"),
            "symbols": _check.choice("symbols", symbols, SYMBOLS),
            "dtype": _check.float_dtype(dtype).name,
        }
        self.seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else _check.count("seed", seed, 0)
        self._rng = np.random.default_rng(self.seed)
        self._training = threading.Lock()
        self.vocabulary: Vocabulary | None = None
        self.network: LanguageNetwork | None = None
        self._optimizer: Adam | None = None
        self._options: training.Options | None = None
        self._position: training.Position | None = None
        if vocabulary is not None or symbols == "bytes":
            self._build(Vocabulary(symbols, vocabulary or ()))

    def _build(self, vocabulary: Vocabulary) -> None:
        if not len(vocabulary):
            raise ValueError("the vocabulary is empty")
        c = self.config
        self.vocabulary = vocabulary
        self.network = LanguageNetwork(
            len(vocabulary), c["hidden_size"], c["num_layers"], c["embedding"], c["dropout"], c["dtype"], self._rng
        )

    def _built(self) -> LanguageNetwork:
        if self.network is None:
            raise ValueError("the model has no vocabulary yet: call fit, or give one to Model(vocabulary=...)")
        return self.network

    @property
    def parameters(self) -> Mapping[str, np.ndarray]:
        """Read-only arrays by name: `lstm.weight_ih_l0`, …, `output.weight`; empty before the vocabulary is known."""
        return self.network.parameters.public if self.network else MappingProxyType({})

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per epoch of the latest training, resumed sessions included."""
        return list(self._position.history) if self._position else []

    @property
    def options(self) -> training.Options | None:
        """How the latest training was done."""
        return self._options

    # ---- data ----------------------------------------------------------------------------------------------------

    def _ids(self, x: Data) -> np.ndarray:
        """Ids (N,) of a text or of integers."""
        network = self._built()
        if _is_text(x):
            return self.vocabulary.encode(read(self.vocabulary.kind, x))
        return _check.tokens("tokens", x, 1, network.V)

    # ---- training ------------------------------------------------------------------------------------------------

    def fit(
        self, x: Data, y: None = None, *, epochs: int = 50, batch_size: int = 50, seq_length: int = 50,
        optimizer: str = "adam", learning_rate: float = 2e-3, schedule: Exponential | None = None,
        clip_norm: float | None = 5.0, clip_value: float | None = None, validation: float | Data | None = 0.05,
        max_seconds: float | None = None, checkpoint: str | os.PathLike | None = None,
        checkpoint_every: float | None = None, resume: bool = False,
        callbacks: Iterable[Callable[[Model, dict[str, Any]], None]] = (), progress: bool | None = None,
        threads: int | None = None,
    ) -> list[dict[str, Any]]:
        """Train on a text by truncated back-propagation through time, with Adam.

        The text is cut into `batch_size` streams, each read in windows of at most `seq_length` symbols; the state is
        carried from window to window and is zero at the start of each epoch. Continues from the present weights, and
        from the optimiser's moments. Where it stops, by Ctrl-C too, the model is whole.

        Args:
            x: the text: str, bytes, a Path, a list of these, or integer ids (N,).
            y: must be None for text.
            epochs: additional passes over the text; with `resume`, the total since the start.
            batch_size: B, streams read side by side.
            seq_length: T, steps gradients are followed back.
            optimizer: "adam".
            learning_rate: of Adam.
            schedule: `fastlstm.Exponential`, or None for a constant rate.
            clip_norm: largest norm of all gradients together; None for no limit.
            clip_value: largest size of each gradient, applied before `clip_norm`; None for no limit.
            validation: the fraction at the end of the text, in [0, 1), or a text of its own, that is never trained on and
                is evaluated after each epoch; None for none.
            max_seconds: stop after about this time.
            checkpoint: file that receives the model after each epoch, and at the end.
            checkpoint_every: seconds between further checkpoints, inside the epochs too.
            resume: go on from the checkpoint this model was loaded from, in the middle of its epoch, to the same weights
                as without the stop. `x` must be the same text, and batch_size, seq_length and validation the same.
            callbacks: called as callback(model, record) after each epoch.
            progress: show progress on standard error; None if it is a terminal.
            threads: slices of the batch computed side by side; None is `fastlstm.get_threads()`, and on `resume` the number
                the checkpoint was trained with, on which the last bits depend.

        Returns:
            One dict per finished epoch: epoch (the first is 1), loss (nats per symbol, while training),
            bits_per_symbol, validation_loss, validation_bits_per_symbol, learning_rate, symbols_per_second, seconds. An
            epoch cut off by `max_seconds` gets one too.

        Raises:
            FloatingPointError: the loss or a gradient is NaN or infinite; the weights are those before it.
            ValueError: among others, a text shorter than one window.
            RuntimeError: another thread is training this model.
        """
        if y is not None:
            raise ValueError("y must be None: a language model's targets are the text itself")
        if not self._training.acquire(blocking=False):
            raise RuntimeError("this model is being trained in another thread")
        try:
            if resume and self._position is None:
                raise ValueError("nothing to resume: load a checkpoint written by fit first")
            if self.network is None:
                self._build(self._vocabulary_of(x, validation))
            ids = self._ids(x)
            fraction = validation if isinstance(validation, int | float) else None
            if threads is None:
                threads = self._options.threads if resume else get_threads()
            options = training.Options(
                _check.count("epochs", epochs, 0), _check.count("batch_size", batch_size),
                _check.count("seq_length", seq_length), _check.choice("optimizer", optimizer, OPTIMIZERS),
                _check.number("learning_rate", learning_rate, 0, open_ends="("), schedule,
                None if clip_norm is None else _check.number("clip_norm", clip_norm, 0, open_ends="("),
                None if clip_value is None else _check.number("clip_value", clip_value, 0, open_ends="("),
                None if fraction is None else _check.number("validation", fraction, 0, 1, open_ends=")"),
                _check.count("threads", threads),
            )
            if resume:
                self._check_same(options)
            ids, held_out = self._split(ids, validation)
            self.vocabulary.counts = np.bincount(ids, minlength=len(self.vocabulary))
            if max_seconds is not None:
                max_seconds = _check.number("max_seconds", max_seconds, 0, open_ends="(")
            if checkpoint_every is not None:
                checkpoint_every = _check.number("checkpoint_every", checkpoint_every, 0)
            return self._train(ids, held_out, options, resume, max_seconds, checkpoint, checkpoint_every, callbacks,
                               progress)
        finally:
            self._training.release()

    def _vocabulary_of(self, x: Data, validation: float | Data | None) -> Vocabulary:
        """The vocabulary of all the text given, validation's own included."""
        kind = self.config["symbols"]
        sources = [x] if validation is None or isinstance(validation, int | float) else [x, validation]
        if not all(map(_is_text, sources)):
            raise ValueError("integer symbols need a vocabulary: give one to Model(vocabulary=...)")
        return Vocabulary.of(kind, read(kind, sources))

    def _split(self, ids: np.ndarray, validation: float | Data | None) -> tuple[np.ndarray, np.ndarray | None]:
        if validation is None or (isinstance(validation, int | float) and validation == 0):
            return ids, None
        if not isinstance(validation, int | float):
            held_out = self._ids(validation)
        else:
            cut = len(ids) - int(len(ids) * validation)
            ids, held_out = ids[:cut], ids[cut:]
        if len(held_out) < 2:
            raise ValueError(f"the validation text must have at least 2 symbols, got {len(held_out)}")
        return ids, held_out

    def _check_same(self, options: training.Options) -> None:
        for name in ("batch_size", "seq_length", "validation"):
            before, now = getattr(self._options, name), getattr(options, name)
            if before != now:
                raise ValueError(f"{name} must be {before} to resume this checkpoint, got {now}")

    def _train(
        self, ids: np.ndarray, held_out: np.ndarray | None, options: training.Options, resume: bool,
        max_seconds: float | None, path: str | os.PathLike | None, save_every: float | None,
        callbacks: Iterable[Callable[[Model, dict[str, Any]], None]], progress: bool | None,
    ) -> list[dict[str, Any]]:
        position = self._position if resume else training.Position()
        if self._optimizer is None:
            self._optimizer = OPTIMIZERS[options.optimizer](self.network.parameters)
        last_save = time.monotonic()

        def after_window(symbols: int, loss: float) -> None:
            nonlocal last_save
            if display:
                display.window(symbols, loss)
            if path is not None and save_every is not None and time.monotonic() - last_save >= save_every:
                self.save(path)
                last_save = time.monotonic()

        def after_epoch(record: dict[str, Any]) -> None:
            if display:
                display.epoch(record)
            if path is not None:
                self.save(path)
            for callback in callbacks:
                callback(self, record)

        trainer = training.Trainer(
            self.network, self._optimizer, position, options, ids, held_out, self.seed, after_window, after_epoch,
            max_seconds,
        )
        self._position, self._options = position, options
        display = None
        if progress or (progress is None and os.isatty(2)):
            display = Progress(options.epochs, position.epoch, trainer.windows.symbols, position.symbols)
        try:
            return trainer.run()
        finally:
            if display:
                display.close()

    # ---- using ---------------------------------------------------------------------------------------------------

    def evaluate(self, x: Data, y: None = None) -> dict[str, float]:
        """How well the model predicts a text: every symbol but the first, given all before it, from the zero state.

        Args:
            x: as in `fit`, at least 2 symbols.
            y: must be None for text.

        Returns:
            {"loss": nats per symbol, "bits_per_symbol", "perplexity"}.
        """
        if y is not None:
            raise ValueError("y must be None: a language model's targets are the text itself")
        network, ids = self._built(), self._ids(x)
        if len(ids) < 2:
            raise ValueError(f"the text must have at least 2 symbols, got {len(ids)}")
        return training.metrics(training.evaluate(network, ids))

    def _generator(
        self, prompt: str | bytes, temperature: float, top_k: int | None, top_p: float | None,
        stop: str | bytes | None, seed: int | None,
    ) -> Generator:
        network = self._built()
        rng = self._rng if seed is None else np.random.default_rng(_check.count("seed", seed, 0))
        return Generator(network, self.vocabulary, prompt, temperature, top_k, top_p, stop, rng)

    def sample(
        self, length: int = 500, prompt: str | bytes = "", *, temperature: float = 1.0, top_k: int | None = None,
        top_p: float | None = None, stop: str | bytes | None = None, seed: int | None = None,
    ) -> str | bytes:
        """Write text.

        Args:
            length: symbols to write, at least 0.
            prompt: the text to go on from; with an empty one the first symbol is drawn by the training frequencies.
            temperature: divides the logits: below 1 safer, above 1 wilder; 0 takes the likeliest each time.
            top_k: keep only this many of the likeliest symbols; None keeps all.
            top_p: keep only the likeliest symbols that together reach this probability (nucleus sampling, Holtzman et al.
                2020), in (0, 1]; None keeps all.
            stop: end once this has been written (it is part of the result).
            seed: same seed, same text; None draws from the model's own generator.

        Returns:
            The text without the prompt: str, or bytes from a model of bytes.
        """
        generator = self._generator(prompt, temperature, top_k, top_p, stop, seed)
        return self.vocabulary.join(generator.pieces(length))

    def sample_iter(
        self, length: int = 500, prompt: str | bytes = "", *, temperature: float = 1.0, top_k: int | None = None,
        top_p: float | None = None, stop: str | bytes | None = None, seed: int | None = None,
    ) -> Iterator[str | bytes]:
        """The text `sample` would return, one symbol at a time, as it is written."""
        return self._generator(prompt, temperature, top_k, top_p, stop, seed).pieces(length, piece=1)

    # ---- files ---------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write everything to one safetensors file: weights, vocabulary, optimiser, generator, position in training.

        The file at `path` is replaced whole or not at all.
        """
        network = self._built()
        arrays = dict(network.parameters.arrays)
        arrays["vocabulary.counts"] = self.vocabulary.counts
        sections: dict[str, Any] = {
            "config": self.config,
            "seed": self.seed,
            "random_state": self._rng.bit_generator.state,
            "vocabulary": self.vocabulary.symbols,
        }
        if self._optimizer:
            for moment in ("first_moment", "second_moment"):
                arrays |= {f"{moment}.{name}": a for name, a in getattr(self._optimizer, moment)}
            sections["optimizer"] = {"name": self._optimizer.name, "steps": self._optimizer.steps}
        if self._position:
            sections["options"], sections["position"] = self._options.to_json(), self._position.to_json()
            if self._position.state:
                arrays["state.h"], arrays["state.c"] = self._position.state
        checkpoint.write(path, arrays, sections)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Model:
        """The model in a file written by `save` or by `fit`'s checkpoints.

        Raises:
            CheckpointError: the file is damaged, foreign, inconsistent, or of a newer format.
        """
        arrays, sections = checkpoint.read(path)
        try:
            return cls._restore(arrays, sections)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(f"{Path(path).name}: {what}") from None

    @classmethod
    def _restore(cls, arrays: dict[str, np.ndarray], sections: dict[str, Any]) -> Model:
        model = cls(**sections["config"], seed=sections["seed"])
        vocabulary = Vocabulary(model.config["symbols"], sections["vocabulary"], arrays.pop("vocabulary.counts"))
        cls._check_declared_size(model.config, len(vocabulary), arrays)
        model._build(vocabulary)
        parameters = model.network.parameters

        def take(prefix: str) -> dict[str, np.ndarray]:
            return {name: arrays.pop(prefix + name) for name in parameters.arrays if prefix + name in arrays}

        parameters.load(take(""))
        if "optimizer" in sections:
            model._optimizer = OPTIMIZERS[sections["optimizer"]["name"]](parameters)
            model._optimizer.steps = sections["optimizer"]["steps"]
            model._optimizer.first_moment.load(take("first_moment."))
            model._optimizer.second_moment.load(take("second_moment."))
        if "position" in sections:
            model._options = training.Options.from_json(sections["options"])
            model._position = training.Position(**sections["position"])
            if "state.h" in arrays:
                shape = (model.config["num_layers"], model._options.batch_size, model.config["hidden_size"])
                model._position.state = tuple(
                    _check.array(n, arrays.pop(n), shape, model.network.dtype) for n in ("state.h", "state.c")
                )
        if arrays:
            raise ValueError(f"it holds tensors this version does not know: {', '.join(sorted(arrays))}")
        model._rng.bit_generator.state = sections["random_state"]
        return model

    @staticmethod
    def _check_declared_size(config: dict[str, Any], V: int, arrays: dict[str, np.ndarray]) -> None:
        """Compare the sizes a file declares with its arrays before anything of those sizes is made."""
        weight = arrays["lstm.weight_hh_l0"]
        H, top = config["hidden_size"], f"lstm.weight_hh_l{config['num_layers'] - 1}"
        if weight.shape != (4 * H, H) or top not in arrays or arrays["output.weight"].shape != (V, H):
            raise ValueError(f"its weights do not have the declared sizes: hidden_size {H}, {V} symbols")

    def __repr__(self) -> str:
        """The configuration and the number of parameters."""
        size = sum(prod(a.shape) for a in self.parameters.values())
        c = self.config
        symbols = f"{len(self.vocabulary)} {c['symbols']}" if self.vocabulary else "no vocabulary yet"
        return f"<Model {c['task']} {c['cell']} {c['num_layers']}x{c['hidden_size']}, {symbols}, {size:,} parameters>"
