"""A label for every step of sequences of several lengths: layers, an output layer of one's own, and the loop that trains both.

python examples/labelling.py

Films of scenes at the beach or at home. Frames show water or food; where, only the first frame of a scene shows. So what
people do there (swim or bathe, picnic or dine) cannot be told from a frame alone.
"""

import numpy as np

import fastlstm

ACTIONS = ("bathing", "swimming", "dinner", "picnic")  # 2 * food + beach
LONGEST, SHORTEST, B = 60, 20, 32
NOISE = 0.15


def films(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B films as frames (T, B, 4) of beach, home, water, food; what is done (T, B) in each; their lengths (B,)."""
    shape = LONGEST, B
    begins = rng.random(shape) < 1 / 12
    begins[0] = True
    scene = begins.cumsum(axis=0) - 1
    beach = np.take_along_axis(rng.integers(0, 2, shape), scene, axis=0)
    food = rng.integers(0, 2, shape)
    frames = np.stack([begins & (beach == 1), begins & (beach == 0), food == 0, food == 1], axis=2)
    return frames + NOISE * rng.standard_normal(frames.shape), 2 * food + beach, rng.integers(SHORTEST, LONGEST, B)


class Labeller:
    """An LSTM and a softmax of its outputs at every step."""

    def __init__(self, seed: int) -> None:
        self.rnn = fastlstm.LSTM(4, 16, seed=seed)
        self.output = {"weight": np.zeros((len(ACTIONS), 16), np.float32), "bias": np.zeros(len(ACTIONS), np.float32)}
        self.optimizers = fastlstm.optim.Adam(self.rnn), fastlstm.optim.Adam(self.output)

    def logits(self, y: np.ndarray) -> np.ndarray:
        """(…, actions) of outputs (…, H)."""
        return y @ self.output["weight"].T + self.output["bias"]

    def learn(self, x: np.ndarray, actions: np.ndarray, lengths: np.ndarray, learning_rate: float) -> float:
        """One step of gradient descent; returns the loss, the mean over all frames that are not padding."""
        y, _, tape = self.rnn.forward(x, lengths=lengths)
        logits = self.logits(y)
        p = np.exp(logits - logits.max(axis=2, keepdims=True))
        p /= p.sum(axis=2, keepdims=True)
        counts = (np.arange(len(x))[:, None] < lengths) / lengths.sum()  # of each frame in the mean
        right = np.arange(len(ACTIONS)) == actions[:, :, None]
        d_logits = (p - right) * counts[:, :, None]
        gradients = {"weight": np.tensordot(d_logits, y, ([0, 1], [0, 1])), "bias": d_logits.sum(axis=(0, 1))}
        _, _, of_rnn = self.rnn.backward(tape, d_logits @ self.output["weight"])
        for optimizer, found in zip(self.optimizers, (of_rnn, gradients), strict=True):
            optimizer.step(found, learning_rate, clip_norm=1.0)
        return float(-(np.log(p[right].reshape(actions.shape)) * counts).sum())

    def accuracy(self, x: np.ndarray, actions: np.ndarray, lengths: np.ndarray) -> float:
        """The share of the frames whose action is the likeliest."""
        y, _ = self.rnn(x, lengths=lengths)
        valid = np.arange(len(x))[:, None] < lengths
        return float((self.logits(y).argmax(axis=2) == actions)[valid].mean())


def main(steps: int = 600) -> tuple[float, float]:
    """Train, and judge by films that were not learnt: frame by frame, and whole."""
    rng, labeller = np.random.default_rng(0), Labeller(seed=0)
    for step in range(steps):
        loss = labeller.learn(*films(rng), learning_rate=0.02 * 0.995**step)
        if step % 100 == 0:
            print(f"step {step}: {loss:.3f} nats")
    x, actions, lengths = films(rng)
    alone = x.reshape(1, LONGEST * B, 4), actions.reshape(1, LONGEST * B), np.ones(LONGEST * B, np.int64)
    by_frame, by_film = labeller.accuracy(*alone), labeller.accuracy(x, actions, lengths)
    print(f"of new films {by_frame:.0%} of the frames by themselves are told right, {by_film:.1%} of those in their films")
    stream = labeller.rnn.stream()
    for t in range(12):
        now = labeller.logits(stream.step(x[t, :1]))[0]
        print(f"frame {t}: {ACTIONS[now.argmax()]:9}{' (begins a scene)' if x[t, 0, :2].max() > 0.6 else ''}")
    return by_frame, by_film


if __name__ == "__main__":
    main()
