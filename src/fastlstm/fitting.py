"""What `Model.fit` does: it checks all arguments, encodes the data, and trains with the model's files and the display."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm import _check, corpus
from fastlstm.checkpoint import check_target
from fastlstm.corpus import Data, Windows
from fastlstm.optim import OPTIMIZERS
from fastlstm.progress import Progress
from fastlstm.session import Options, Position
from fastlstm.stack_options import warn_of_dropout
from fastlstm.text import is_text, not_a_file_name, readable_again
from fastlstm.threads import get_threads
from fastlstm.training import Trainer
from fastlstm.vocabulary import TRAIN_ANEW, Vocabulary

if TYPE_CHECKING:
    from fastlstm.model import Model

OTHER_TEXT = "this is not the text the checkpoint was trained on"
Callback = Callable[["Model", dict[str, Any]], None]


def fit(
    model: Model, x: Data, held_out: Data | None, options: Options, given: Collection[str], *, resume: bool,
    max_seconds: float | None, checkpoint: str | os.PathLike | None, checkpoint_every: float | None,
    callbacks: Callback | Iterable[Callback], progress: bool | None,
) -> list[dict[str, Any]]:
    """See `Model.fit`; a fraction to hold out is among the options, `held_out` is data of its own.

    given: names of the arguments that the caller passed; with `resume` only these take the place of the checkpoint's options.
    """
    position, options = model._position, options.checked()
    warn_of_dropout(model.config["dropout"], model.config["num_layers"], stacklevel=4)
    if _check.flag("resume", resume):
        if position is None:
            raise ValueError("nothing to resume: this model has had no training; load a checkpoint of one by Model.load")
        options = options.resuming(model._options, given)
    options = replace(options, threads=options.threads or get_threads())
    max_seconds = _check.optional(_check.number, "max_seconds", max_seconds, 0, open_ends="(")
    checkpoint_every = _check.optional(_check.number, "checkpoint_every", checkpoint_every, 0)
    if checkpoint is not None:
        check_target(checkpoint)
    is_one = callable(callbacks) or not isinstance(callbacks, Iterable)
    callbacks = [callbacks] if is_one else list(callbacks)
    if not all(map(callable, callbacks)):
        raise TypeError(f"callbacks must be functions of (model, record), got {callbacks!r}")
    try:
        vocabulary, ids, held_out = encoded(model, x, held_out)
    except ValueError as error:
        if not resume:
            raise
        what = str(error).partition(TRAIN_ANEW)[0]
        raise ValueError(f"{OTHER_TEXT}: {what}; resume with the same text") from None
    if options.validation:
        cut = len(ids) - int(len(ids) * options.validation)
        ids, held_out = ids[:cut], ids[cut:]
    try:
        windows = Windows(ids, options.seq_length, options.batch_size)
    except ValueError as error:
        if isinstance(x, str):
            raise ValueError(f"{error}; a str is the text itself, a Path a file") from None
        raise
    if held_out is not None and len(held_out) < 2:
        raise ValueError(f"the validation text must have at least 2 symbols, got {len(held_out)}")
    if resume:
        _check_resumable(position, options, windows, held_out)
        _take_last(model)
        if position.epoch >= options.epochs:  # nothing to do, of which nothing is kept
            if checkpoint is not None:
                model.save(checkpoint)
            _restore_best(model, options)
            return []
    # Nothing has changed so far; from here on all arguments are good.
    if model.network is None:
        model._build(vocabulary)
    model.vocabulary.counts = corpus.count(ids, len(vocabulary))
    if not resume:
        model._position = Position(fingerprint=windows.fingerprint, held_out=_fingerprint(held_out))
    model._options = options
    return _train(model, windows, held_out, max_seconds, checkpoint, checkpoint_every, callbacks, progress)


def encoded(model: Model, x: Data, held_out: Data | None) -> tuple[Vocabulary, np.ndarray, np.ndarray | None]:
    """The vocabulary, the ids of x and, if given, of the held-out data."""
    config, vocabulary = model.config, model.vocabulary
    if x is None:
        raise TypeError("x must be a text, files or ids, got None")
    sources = [not_a_file_name(data) for data in (x, held_out) if data is not None]
    if vocabulary is None:
        if not all(map(is_text, sources)):
            raise ValueError("integer symbols need a vocabulary: give one to Model(vocabulary=...)")
        sources = readable_again(sources)
        vocabulary = Vocabulary.of(config["symbols"], sources, config["max_symbols"], config["min_count"])
    ids = [corpus.encode(vocabulary, source) for source in sources]
    return vocabulary, ids[0], ids[1] if len(ids) > 1 else None


def _fingerprint(held_out: np.ndarray | None) -> int:
    return 0 if held_out is None else corpus.fingerprint(held_out)


def _check_resumable(position: Position, options: Options, windows: Windows, held_out: np.ndarray | None) -> None:
    """Refuse other texts than those of the checkpoint, best weights that were not kept, and a schedule that is over."""
    if position.fingerprint != windows.fingerprint or position.window > len(windows):
        raise ValueError(f"{OTHER_TEXT}; resume with the same text")
    if position.held_out not in (None, _fingerprint(held_out)):
        raise ValueError("validation must be the text that the checkpoint was judged by; resume with the same one")
    if options.restore_best and position.best_loss is not None and position.best_weights is None:
        raise ValueError("restore_best must be given from the start: this training has not kept the weights of its best epoch")
    if options.epochs > position.epoch and options.factor(position) == 0:
        raise ValueError(
            f"the schedule is at its end: the learning rate is 0 from epoch {position.epoch + 1} on; give a schedule for all "
            f"{options.epochs} epochs"
        )


def _restore_best(model: Model, options: Options) -> None:
    """End with the best weights, unless the last ones are; these are kept to go on from."""
    position, parameters = model._position, model.network.parameters
    if options.restore_best and position.best_weights is not None and not position.history[-1]["best"]:
        position.last_weights = parameters.flat.copy()
        parameters.flat[...] = position.best_weights
        parameters.touch()


def _take_last(model: Model) -> None:
    """Take back the last weights, where the best ones were restored."""
    position, parameters = model._position, model.network.parameters
    if position.last_weights is not None:
        parameters.flat[...] = position.last_weights
        parameters.touch()
        position.last_weights = None


def _train(
    model: Model, windows: Windows, held_out: np.ndarray | None, max_seconds: float | None,
    path: str | os.PathLike | None, save_every: float | None, callbacks: list[Callback], progress: bool | None,
) -> list[dict[str, Any]]:
    position, options = model._position, model._options
    if model._optimizer is None or model._optimizer.name != options.optimizer:
        model._optimizer = OPTIMIZERS[options.optimizer](model.network.parameters)
    last_save, display = time.monotonic(), None

    def after_window(symbols: int, loss: float) -> None:
        nonlocal last_save
        if display:
            display.window(symbols, loss)
        if path is not None and save_every is not None and time.monotonic() - last_save >= save_every:
            trainer.check_weights()
            model.save(path)
            last_save = time.monotonic()

    def after_epoch(record: dict[str, Any]) -> None:
        if display:
            display.epoch(record, cut_off=position.window > 0)
        if path is not None:
            model.save(path)
        for callback in callbacks:
            callback(model, record)

    trainer = Trainer(
        model.network, model._optimizer, position, options, windows, held_out, model.seed, after_window, after_epoch,
        max_seconds,
    )
    if progress or (progress is None and os.isatty(2)):
        display = Progress(options.epochs, position.epoch, windows.symbols, position.symbols)
    try:
        records = trainer.run()
    except KeyboardInterrupt:
        if path is not None:
            trainer.check_weights()
            model.save(path)
        raise
    finally:
        if display:
            display.close()
    if path is not None and not records:
        model.save(path)
    _restore_best(model, options)
    return records
