"""Arrays that go into the LSTM stack and come out of it: any form is taken, none is modified, all belong to the caller."""

import numpy as np
import pytest

from fastlstm import LSTM, Model
from helpers import RAGGED, assert_equal, random_case, run


def unaligned(a):
    memory = np.empty(a.nbytes + 1, np.uint8)[1:]
    memory[:] = np.frombuffer(a.tobytes(), np.uint8)
    return memory.view(a.dtype).reshape(a.shape)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def memory_mapped(a, tmp_path):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.bin"
    a.tofile(path)
    return np.memmap(path, a.dtype, "r", shape=a.shape)


FORMS = {
    "contiguous": lambda a, _: a.copy(),
    "read-only": lambda a, _: read_only(a),
    "Fortran": lambda a, _: np.asfortranarray(a),
    "negative strides": lambda a, _: np.flip(np.flip(a).copy()),
    "every second element": lambda a, _: np.repeat(a, 2, axis=-1)[..., ::2],
    "big-endian": lambda a, _: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": lambda a, _: unaligned(a),
    "memory-mapped": memory_mapped,
    "nested lists": lambda a, _: a.tolist(),
}


@pytest.fixture(params=FORMS)
def formed(request, tmp_path):
    """Gives the form of an array that is the parameter; afterwards none of them may have changed."""
    given = []

    def form(array):
        given.append((FORMS[request.param](array, tmp_path), array.copy()))
        return given[-1][0]

    yield form
    assert given
    for array, before in given:
        np.testing.assert_array_equal(array, before)


def form_case(case, formed):
    """A case of arrays in another form."""
    lengths = None if case.lengths is None else formed(case.lengths)
    state, dstate = (tuple(map(formed, pair)) for pair in (case.state, case.dstate))
    return case._replace(x=formed(case.x), dy=formed(case.dy), lengths=lengths, state=state, dstate=dstate)


@pytest.mark.parametrize("lengths", [None, RAGGED])
@pytest.mark.parametrize("kind", ["numbers", "tokens"])
def test_any_form_of_arrays_gives_the_same_bits(dtype, formed, kind, lengths, engine):
    case = random_case(L=2, dtype=dtype, lengths=lengths, dropout=0.5)
    if kind == "tokens":
        case = case._replace(x=np.random.default_rng(0).integers(0, 3, (6, 4), np.int32))
    other = form_case(case, formed)
    assert_equal(run(other, dropout_seed=1), run(case, dropout_seed=1))
    y, (h, c) = case.rnn(case.x, case.state, case.lengths)
    other_y, (other_h, other_c) = case.rnn(other.x, other.state, other.lengths)
    assert_equal({"y": other_y, "h": other_h, "c": other_c}, {"y": y, "h": h, "c": c})


@pytest.mark.parametrize("kind", ["numbers", "tokens"])
def test_streams_take_any_form_of_arrays(dtype, formed, kind, engine):
    case = random_case(L=2, dtype=dtype)
    steps = case.x if kind == "numbers" else np.random.default_rng(0).integers(0, 3, (6, 4), np.int32)
    stream, other = case.rnn.stream(4), case.rnn.stream(4)
    stream.state, other.state = case.state, tuple(map(formed, case.state))
    for x in steps:
        np.testing.assert_array_equal(other.step(formed(x)), stream.step(x))
    np.testing.assert_array_equal(other.state, stream.state)


def test_parameters_take_any_form_of_arrays(dtype, formed):
    rnn, other = LSTM(3, 5, 2, dtype=dtype, seed=0), LSTM(3, 5, 2, dtype=dtype, seed=1)
    other.load_state_dict({name: formed(array) for name, array in rnn.state_dict().items()})
    assert_equal(other.parameters, rnn.parameters)


def test_models_take_any_form_of_tokens(formed):
    options = {"epochs": 1, "batch_size": 4, "seq_length": 20, "progress": False, "threads": 1}
    ids = np.random.default_rng(0).integers(0, 5, 500)
    model, other = (Model(hidden_size=4, vocabulary="abcde", seed=0) for _ in range(2))
    model.fit(ids, validation=ids[:50], **options)
    other.fit(formed(ids), validation=formed(ids[:50]), **options)
    assert_equal(other.parameters, model.parameters)
    assert other.evaluate(formed(ids)) == model.evaluate(ids)
    np.testing.assert_array_equal(other.surprisal(formed(ids)), model.surprisal(ids))
    assert other.vocabulary.decode(formed(ids)) == model.vocabulary.decode(ids)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", ">u2", "i4", "u4", ">i8", "u8"])
def test_tokens_of_any_integer_type_are_the_same(kind):
    rnn, tokens = LSTM(100, 4, seed=0), np.random.default_rng(0).integers(0, 100, (6, 4))
    np.testing.assert_array_equal(rnn(tokens.astype(kind))[0], rnn(tokens)[0])
    np.testing.assert_array_equal(rnn.stream(4).step(tokens[0].astype(kind)), rnn.stream(4).step(tokens[0]))


@pytest.mark.parametrize("lengths", [None, RAGGED])
def test_arrays_in_and_out_belong_to_the_caller(engine, lengths):
    """Overwriting whatever went into or came out of `forward` changes nothing that `backward` returns."""
    case = random_case(L=2, lengths=lengths)
    want = run(case)
    y, (h, c), tape = case.rnn.forward(case.x, case.state, case.lengths)
    for array in (case.x, *case.state, y, h, c):
        array.fill(7)
    if lengths is not None:
        case.lengths.fill(0)
    dx, (dh0, dc0), gradients = case.rnn.backward(tape, case.dy, case.dstate)
    got = {"dx": dx, "dh0": dh0, "dc0": dc0, **gradients}
    assert_equal(got, {name: want[name] for name in got})
    arrays = list(got.values())
    assert not any(np.shares_memory(a, b) for k, a in enumerate(arrays) for b in arrays[:k])


@pytest.mark.parametrize("lengths", [None, RAGGED])
def test_gradients_of_both_states_may_be_one_array(engine, lengths):
    case = random_case(L=2, lengths=lengths)
    d = case.dstate[0]
    assert_equal(run(case._replace(dstate=(d, d))), run(case._replace(dstate=(d, d.copy()))))


def test_token_arrays_may_be_reused_before_backward(engine):
    """The tokens were checked once: what comes later must not be used to index."""
    case = random_case(I=5)
    tokens = np.zeros((6, 4), np.int32)
    want = run(case._replace(x=tokens))
    _, _, tape = case.rnn.forward(tokens, case.state)
    tokens.fill(10**6)
    _, _, gradients = case.rnn.backward(tape, case.dy, case.dstate)
    assert_equal(gradients, {name: want[name] for name in gradients})
