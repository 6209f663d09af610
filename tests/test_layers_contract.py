"""What the LSTM stack promises besides its numbers: tapes, streams, NaN, parameters, engines, dropout, errors."""

import copy
import pickle

import numpy as np
import pytest

import fastlstm
from fastlstm import LSTM, engines
from helpers import RAGGED, assert_close, assert_equal, random_case, run, run_torch

# ---- tapes -------------------------------------------------------------------------------------------------------


def test_tape_serves_once_and_only_its_own_stack():
    case = random_case()
    _, _, tape = case.rnn.forward(case.x)
    wider = LSTM(3, 8)
    with pytest.raises(TypeError, match="tape must be what forward returned last, got ndarray"):
        wider.backward(np.zeros((6, 4, 8)), tape)
    with pytest.raises(ValueError, match="tape must come from this stack's own forward"):
        wider.backward(tape, np.zeros((6, 4, 8)))
    with pytest.raises(ValueError, match=r"dy must have shape \(6, 4, 5\), got \(6, 4, 4\)"):
        case.rnn.backward(tape, case.dy[..., 1:])
    case.rnn.backward(tape, case.dy)
    with pytest.raises(RuntimeError, match="already served"):
        case.rnn.backward(tape, case.dy)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_tapes_are_not_copied(copied):
    """Two would work in the same memory, and give it back twice."""
    case = random_case()
    _, _, tape = case.rnn.forward(case.x)
    with pytest.raises(TypeError, match="a tape cannot be copied or pickled; run forward again"):
        copied(tape)


def test_tape_of_other_parameters_is_refused(engine):
    rnn = LSTM(3, 4, seed=0)
    y, _, tape = rnn.forward(np.zeros((2, 1, 3)))
    rnn.load_state_dict(rnn.state_dict())
    with pytest.raises(RuntimeError, match="the parameters have changed since this tape's forward"):
        rnn.backward(tape, y)


# ---- streams -----------------------------------------------------------------------------------------------------


def test_stream_writes_into_out_and_keeps_its_state_to_itself(engine):
    case = random_case(L=2, dtype="float32")
    y, _ = case.rnn(case.x)
    stream, out = case.rnn.stream(4), np.empty((4, 5), np.float32)
    assert stream.step(case.x[0], out=out) is out
    np.testing.assert_allclose(out, y[0], rtol=1e-5, atol=1e-6)
    out.fill(7)
    for state in (*stream.state, stream.step(case.x[1])):
        state.fill(7)
    np.testing.assert_allclose(stream.step(case.x[2]), y[2], rtol=1e-5, atol=1e-6)
    stream.reset()
    np.testing.assert_allclose(stream.step(case.x[0]), y[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fault", ["shape", "dtype", "order", "read-only"])
def test_stream_refuses_an_unfit_out(fault):
    stream, fit, read_only = LSTM(3, 5).stream(4), np.empty((4, 5), np.float32), np.empty((4, 5), np.float32)
    read_only.flags.writeable = False
    out = {"shape": fit[1:], "dtype": fit.astype(float), "order": np.asfortranarray(fit), "read-only": read_only}[fault]
    with pytest.raises(ValueError, match=r"out must be a writable C-contiguous float32 array of shape \(4, 5\)"):
        stream.step(np.zeros((4, 3)), out)


@pytest.mark.parametrize("kind", ["numbers", "tokens"])
def test_stream_sees_new_parameters(engine, kind):
    case, other = random_case(L=2), random_case(L=2, seed=1)
    x = case.x if kind == "numbers" else np.zeros((6, 4), np.int32)
    stream = case.rnn.stream(4)
    stream.step(x[0])
    case.rnn.load_state_dict(other.rnn.state_dict())
    stream.reset()
    expected = other.rnn.stream(4)
    np.testing.assert_array_equal(stream.step(x[0]), expected.step(x[0]))


# ---- NaN ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["x", "h0", "c0", "weight_ih_l0", "weight_hh_l1", "bias_hh_l1"])
def test_nan_goes_through_to_where_torch_has_it(isa, torch, engine, where):
    """Layers do not judge their input, and never hide what it does."""
    case = random_case(L=2, dtype="float32")
    if where == "x":
        case.x[2, 1, 0] = np.nan
    elif where in ("h0", "c0"):
        case.state["hc".index(where[0])][0, 1, 3] = np.nan
    else:
        parameters = case.rnn.state_dict()
        parameters[where].flat[0] = np.nan
        case.rnn.load_state_dict(parameters)
    got, want = run(case), run_torch(torch, case)
    stream = case.rnn.stream(4)
    stream.state = case.state
    streamed = np.stack([stream.step(x) for x in case.x])
    assert np.isnan(got["y"]).any()
    for name in want:
        np.testing.assert_array_equal(np.isnan(got[name]), np.isnan(want[name]), err_msg=name)
    np.testing.assert_array_equal(np.isnan(streamed), np.isnan(want["y"]))


# ---- parameters, engines, dropout --------------------------------------------------------------------------------


def test_parameters_are_read_only_and_state_dict_is_a_copy():
    rnn = LSTM(3, 5, 2, seed=0)
    for array in rnn.parameters.values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(TypeError):
        rnn.parameters["weight_ih_l0"] = np.zeros((20, 3))
    before = rnn.state_dict()
    rnn.state_dict()["weight_ih_l0"].fill(0)
    assert_equal(rnn.state_dict(), before)


def test_load_state_dict_is_strict_and_changes_nothing_on_error():
    rnn = LSTM(3, 5, seed=0)
    before, new = rnn.state_dict(), LSTM(3, 5, seed=1).state_dict()
    without = {name: a for name, a in new.items() if name != "bias_hh_l0"}
    for wrong, message in [
        (without, "missing parameters: bias_hh_l0"),
        (new | {"weight_ih_l1": np.zeros((20, 5))}, "unexpected parameters: weight_ih_l1"),
        ({"lstm." + name: array for name, array in new.items()}, "missing parameters: .*; unexpected parameters: lstm"),
        (new | {"bias_hh_l0": np.zeros(19)}, r"bias_hh_l0 must have shape \(20,\), got \(19,\)"),
        (new | {"bias_hh_l0": np.zeros(20, complex)}, "bias_hh_l0 must hold real numbers, got dtype complex128"),
    ]:
        with pytest.raises(ValueError, match=message):
            rnn.load_state_dict(wrong)
        assert_equal(rnn.state_dict(), before)
    rnn.load_state_dict(new)
    for array in new.values():
        kept = array.copy()
        array.fill(7)  # a copy was taken
        assert any(np.array_equal(kept, p) for p in rnn.parameters.values())


def test_engines_are_chosen_and_agree():
    case = random_case(L=2, dtype="float32", lengths=RAGGED, dropout=0.3)
    default, found = fastlstm.cpu_info()["engine"], run(case, dropout_seed=2)
    with fastlstm.engine("reference"):
        assert fastlstm.cpu_info()["engine"] == "reference"
        by_reference = run(case, dropout_seed=2)
        with fastlstm.engine("blas"):
            blas = run(case, dropout_seed=2)
        with fastlstm.engine("native"):
            native = run(case, dropout_seed=2)
    assert fastlstm.cpu_info()["engine"] == default
    assert_equal(found, {"blas": blas, "native": native}[default])
    assert_close(blas, by_reference, 5e-6)
    assert_close(native, by_reference, 5e-6)
    assert all(a.dtype == np.float32 for a in by_reference.values())
    fastlstm.set_engine("reference")
    try:
        assert_equal(run(case, dropout_seed=2), by_reference)
        with fastlstm.engine("blas"):
            _, _, tape = case.rnn.forward(case.x)
        case.rnn.backward(tape, case.dy)  # by the engine that made the tape
    finally:
        fastlstm.set_engine(None)
    assert fastlstm.cpu_info()["engine"] == default


def test_only_forward_drops_and_its_mask_is_seeded():
    case = random_case(L=2, dropout=0.5)
    plain = LSTM(3, 5, 2, dtype="float64")
    plain.load_state_dict(case.rnn.state_dict())
    y, _ = case.rnn(case.x)
    np.testing.assert_array_equal(y, plain(case.x)[0])
    np.testing.assert_array_equal(case.rnn(case.x)[0], y)
    seeded = [case.rnn.forward(case.x, dropout_seed=seed)[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(seeded[0], seeded[1])
    assert not np.array_equal(seeded[0], seeded[2])
    assert not np.array_equal(seeded[0], y)
    drawn = [case.rnn.forward(case.x)[0] for _ in range(2)]
    assert not np.array_equal(*drawn)


def test_dropout_masks_are_scaled_to_keep_the_mean(dtype):
    masks = LSTM(3, 100, 3, dropout=0.2, dtype=dtype).dropout_masks(100, 10, 0).outputs
    assert len(masks) == 2
    assert not np.array_equal(*masks)
    for mask in masks:
        assert mask.dtype == dtype
        assert set(np.unique(mask)) == {dtype.type(0), dtype.type(1 / 0.8)}
        assert abs(np.mean(mask == 0) - 0.2) < 0.01


def test_dropout_between_layers_of_which_there_is_one(dtype):
    rnn, x = LSTM(3, 4, dropout=0.25, dtype=dtype, seed=0), np.ones((5, 2, 3), dtype)
    with pytest.warns(UserWarning, match="dropout=0.25 drops nothing between layers: there is one layer"):
        y, *_ = rnn.forward(x)
    np.testing.assert_array_equal(y, rnn(x)[0])  # which says nothing: nothing is ever dropped there


# ---- errors ------------------------------------------------------------------------------------------------------


def test_tokens_in_the_padding_may_be_anything(engine):
    tokens = np.zeros((10, 20), np.int64)
    y, _ = LSTM(65, 4, seed=0)(tokens)
    tokens[3:, 12] = 70
    lengths = [10] * 12 + [3] + [10] * 7
    padded, _ = LSTM(65, 4, seed=0)(tokens, lengths=lengths)
    np.testing.assert_array_equal(padded[:3], y[:3])
    assert not padded[3:, 12].any()


@pytest.mark.parametrize(("lengths", "error", "message"), [
    ([5, 5], ValueError, r"lengths must have shape \(4,\), got \(2,\)"),
    ([5, 6, 5, 5], ValueError, "lengths must be between 0 and T = 5, got 6 at index 1"),
    ([5, 5, -1, 5], ValueError, "lengths must be between 0 and T = 5, got -1 at index 2"),
    ([5.0, 5, 5, 5], TypeError, "lengths must be an integer array, got float64"),
])
def test_wrong_lengths_are_refused(lengths, error, message):
    for x in (np.zeros((5, 4, 3)), np.zeros((5, 4, 3), np.float32), np.zeros((5, 4), int)):
        with pytest.raises(error, match=message):
            LSTM(3, 8)(x, lengths=lengths)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"activation": "tahn"}, ValueError, "got 'tahn'; did you mean 'tanh'?"),
    ({"recurrent_activation": "sigmod"}, ValueError, "got 'sigmod'; did you mean 'sigmoid'?"),
    ({"dtype": "float16"}, ValueError, "dtype must be one of 'float32', 'float64', got 'float16'"),
    ({"dtype": "flaot32"}, ValueError, "got 'flaot32'; did you mean 'float32'?"),
    ({"dtype": np.int32}, ValueError, "dtype must be 'float32' or 'float64', got <class 'numpy.int32'>"),
    ({"dtype": None}, ValueError, "dtype must be 'float32' or 'float64', got None"),
    ({"hidden_size": 0}, ValueError, "hidden_size must be at least 1, got 0"),
    ({"hidden_size": 2.5}, TypeError, "hidden_size must be a whole number, got 2.5"),
    ({"num_layers": 0}, ValueError, "num_layers must be at least 1, got 0"),
    ({"dropout": -0.1}, ValueError, "dropout must be in [0, 1), got"),
    ({"dropout": 1}, ValueError, "dropout must be in [0, 1), got"),
    ({"dropout": float("nan")}, ValueError, "dropout must be in [0, 1), got"),
    ({"dropout": "half"}, TypeError, "dropout must be a number, got 'half'"),
])
def test_wrong_options_are_refused(options, error, message):
    with pytest.raises(error) as raised:
        LSTM(**{"input_size": 3, "hidden_size": 8, **options})
    assert message in str(raised.value)


def test_parameters_load_from_their_own_views():
    rnn = LSTM(4, 4, num_layers=2, seed=0)
    values = dict(rnn.parameters)
    values["weight_hh_l0"], values["weight_hh_l1"] = values["weight_hh_l1"], values["weight_hh_l0"]
    expected = {name: array.copy() for name, array in values.items()}
    rnn.load_state_dict(values)
    assert all(np.array_equal(rnn.parameters[name], array) for name, array in expected.items())


def test_denormal_numbers_count_as_zero(compiled, dtype):
    """They would otherwise cost many times the normal time, in products too."""
    rnn = LSTM(3, 8, num_layers=2, dtype=dtype, seed=0)
    tiny = np.full((4, 2, 3), np.finfo(dtype).smallest_subnormal * 9, dtype)
    state = tuple(np.full((2, 2, 8), np.finfo(dtype).smallest_subnormal * 9, dtype) for _ in range(2))
    expected, _ = rnn(np.zeros_like(tiny))
    assert np.array_equal(rnn(tiny, state)[0], expected)
    stream = rnn.stream(2)
    stream.state = state
    assert np.array_equal(np.stack([stream.step(x) for x in tiny]), expected)


def test_unknown_engine_is_refused_with_a_suggestion():
    with pytest.raises(ValueError, match=r"must be one of 'native', 'blas', .*, got 'blass'; did you mean 'blas'"):
        fastlstm.set_engine("blass")
    with pytest.raises(ValueError, match="did you mean 'reference'"), fastlstm.engine("refrence"):
        pass


def test_engine_refuses_sizes_beyond_what_blas_addresses(compiled):
    """Networks call it directly."""
    huge = np.broadcast_to(np.zeros((1, 1), np.int32), (2**16, 2**15))
    with pytest.raises(ValueError, match=r"^T \* B is 2147483648, more than the 2147483647 that BLAS can address"):
        engines.current_engine().forward(LSTM(3, 4), huge, None, None, None, keep=False)
