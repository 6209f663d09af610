"""Writes golden.h: inputs of the kernels, and their outputs by fastlstm.reference in float64.

    python tests/c/golden.py > tests/c/golden.h

The C driver checks every row of the table against them, also where no Python runs. Inputs are multiples of 1/128, which
are the same number in float and double.
"""

import numpy as np

from fastlstm import reference
from fastlstm.cells import Cell

STEPS = [  # rows, H, activation, recurrent activation
    (3, 21, "tanh", "sigmoid"),
    (2, 7, "softsign", "hard_sigmoid"),
    (1, 5, "relu", "linear"),
]
OPTIONS = {"learning_rate": 0.01, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6, "weight_decay": 0.3}
STEP = 3
rng = np.random.default_rng(0)
arrays = 0


def inputs(*shape: int, size: float = 4) -> np.ndarray:
    return np.round(rng.uniform(-size, size, shape) * 128) / 128


def write(*values: np.ndarray) -> str:
    """Defines an array for each of `values`; returns their names as C writes them in an initialiser."""
    global arrays
    names = []
    for value in values:
        names.append(f"golden_{arrays}")
        arrays += 1
        numbers = [f"{number:.17g}" for number in np.ravel(value).tolist()]
        lines = [", ".join(numbers[k : k + 5]) for k in range(0, len(numbers), 5)]
        print(f"static const double {names[-1]}[] = {{\n    " + ",\n    ".join(lines) + "};")
    return ", ".join(names)


def kind(name: str) -> str:
    return f"FL_{name.upper()}"


def activations() -> list[str]:
    x = np.concatenate([inputs(60, size=6), inputs(20, size=80), [0, 100, -80, 1 / 128, -1 / 128]])
    return [f"{{{x.size}, {kind(name)}, {write(x, a.value(x))}}}" for name, a in reference.ACTIVATIONS.items()]


def steps() -> list[str]:
    """With U = 0 and W = 1 a layer of one step is the kernels alone."""
    cases = []
    for rows, H, activation, recurrent in STEPS:
        cell = reference.LSTM(Cell("lstm", 4 * H, H, False, activation, recurrent))
        p, zeros = {"weight_ih": np.eye(4 * H), "weight_hh": np.zeros((4 * H, H))}, np.zeros((rows, H))
        a, c_prev, dh, dy, dc = inputs(rows, 4 * H), *inputs(4, rows, H, size=2)
        (y, c), tape = cell.step(p, a, (zeros, c_prev), zeros)
        gradients = {name: np.zeros(weight.shape) for name, weight in p.items()}
        d_gates, (_, dc_prev), _ = cell.step_back(p, tape, (dh + dy, dc), gradients)
        gates = np.concatenate([getattr(tape, gate) for gate in cell.cell.gates.values()], axis=1)
        names = write(a, c_prev, gates, c, y, dh, dy, dc, d_gates, dc_prev)
        cases.append(f"{{{rows}, {H}, {kind(activation)}, {kind(recurrent)}, {names}}}")
    return cases


def softmaxes() -> list[str]:
    cases = []
    for rows, V, size in ((2, 37, 8), (1, 9, 1000)):
        logits, targets = inputs(rows, V, size=size), rng.integers(0, V, rows)
        losses, gradient = reference.softmax_cross_entropy(logits, targets)
        cases.append(f"{{{rows}, {V}, {write(logits, targets.astype(float), losses, gradient)}}}")
    return cases


def updates() -> list[str]:
    parameters, m, v, gradients = inputs(4, 35, size=2)
    after = reference.adam(parameters, m, v * v, gradients, step=STEP, **OPTIONS)
    return [f"{{{parameters.size}, {write(parameters, m, v * v, gradients, *after)}}}"]


def table(type_name: str, cases: list[str]) -> None:
    print(f"static const {type_name} all_{type_name}[] = {{\n    " + ",\n    ".join(cases) + "};")


print("/* Inputs and outputs of the kernels, written by golden.py; do not edit. */")
print("typedef struct { int64_t n; int kind; const double *x, *y; } golden_activation;")
print(
    "typedef struct {\n    int64_t rows, H;\n    int activation, recurrent;\n"
    "    const double *a, *c_prev, *gates, *c, *h, *dh, *dy, *dc, *d_gates, *dc_prev;\n} golden_step;"
)
print("typedef struct { int64_t rows, V; const double *logits, *targets, *losses, *gradient; } golden_softmax;")
print(
    "typedef struct {\n    int64_t n;\n    const double *parameters, *m, *v, *gradients, *parameters_after, *m_after,"
    " *v_after;\n} golden_adam;"
)
options = "".join(f"    .{name} = {value!r},\n" for name, value in OPTIONS.items())
print(f"static const fl_update golden_update = {{\n{options}    .gradient_scale = 1,\n    .step = {STEP}}};")
table("golden_activation", activations())
table("golden_step", steps())
table("golden_softmax", softmaxes())
table("golden_adam", updates())
