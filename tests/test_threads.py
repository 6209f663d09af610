"""How many threads are used."""

import os

import pytest

import fastlstm


@pytest.fixture(autouse=True)
def restore():
    yield
    fastlstm.set_threads(None)


def test_default_is_one_for_each_available_processor(monkeypatch):
    monkeypatch.delenv("FASTLSTM_NUM_THREADS", raising=False)
    assert fastlstm.get_threads() == fastlstm.available_cpus() == len(os.sched_getaffinity(0))


def test_environment_and_call(monkeypatch):
    monkeypatch.setenv("FASTLSTM_NUM_THREADS", "3")
    assert fastlstm.get_threads() == 3
    fastlstm.set_threads(5)
    assert fastlstm.get_threads() == 5
    fastlstm.set_threads(None)
    monkeypatch.setenv("FASTLSTM_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="FASTLSTM_NUM_THREADS must be a whole number of at least 1, got 'many'"):
        fastlstm.get_threads()
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        fastlstm.set_threads(0)


def test_cpu_info_says_what_runs():
    info = fastlstm.cpu_info()
    assert info["instruction_set"] in info["available_instruction_sets"]
    assert info["engine"] == "blas"
    with fastlstm.engine("reference"):
        assert fastlstm.cpu_info()["engine"] == "reference"
