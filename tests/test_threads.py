"""How many threads are used."""

import os
import subprocess
import sys

import pytest

import fastlstm
from fastlstm import threads

CPUS = 8

@pytest.fixture(autouse=True)
def restore():
    yield
    fastlstm.set_threads(None)


@pytest.fixture
def file_system(tmp_path, monkeypatch):
    """Writes files as Linux would show them, by path, to a process that may run on CPUS processors."""

    def write(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)

    monkeypatch.setattr(threads, "FILE_SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(CPUS)), raising=False)
    monkeypatch.delenv("FASTLSTM_NUM_THREADS", raising=False)
    return write


def test_default_is_one_for_each_available_processor(file_system):
    assert fastlstm.get_threads() == fastlstm.available_cpus() == CPUS


def test_half_a_container_is_half_the_threads(file_system):
    file_system({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{CPUS // 2}00000 100000\n"})
    assert fastlstm.get_threads() == fastlstm.available_cpus() == CPUS // 2


V1 = "9:name=systemd:/\n4:cpu,cpuacct:/docker/abc\n2:cpuset:/\n0::/\n"


@pytest.mark.parametrize(
    ("cgroup", "quotas", "cpus"),
    [
        pytest.param("0::/a/b\n", {"a/b/cpu.max": "250000 100000\n"}, 3, id="part of a processor counts as one"),
        pytest.param("0::/a/b\n", {"a/b/cpu.max": "1000 100000\n"}, 1, id="at least one"),
        pytest.param("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "60000 20000\n"}, 3, id="the parent's"),
        pytest.param("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n", "a/cpu.max": "500000 100000\n"}, 2, id="the lowest"),
        pytest.param("0::/a\n", {"a/cpu.max": "max 100000\n"}, CPUS, id="none"),
        pytest.param("0::/a\n", {"a/cpu.max": "9900000 100000\n"}, CPUS, id="more than the affinity"),
        pytest.param("0::/a\n", {"b/cpu.max": "100000 100000\n", "a/b/cpu.max": "100000 100000\n"}, CPUS, id="others'"),
        pytest.param("0::/../a\n", {"cpu.max": "100000 100000\n"}, 1, id="a path outside of the container"),
        pytest.param("0::/a\n", {"a/cpu.max": "\n"}, CPUS, id="empty"),
        pytest.param("0::/a\n", {"a/cpu.max": "100000 0\n"}, CPUS, id="no period"),
        pytest.param("", {"cpu.max": "100000 100000\n"}, CPUS, id="no groups"),
        pytest.param(V1, {"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "350000\n",
                          "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n"}, 4, id="version 1"),
        pytest.param(V1, {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "50000\n"}, 2,
                     id="version 1, its own group mounted"),
        pytest.param(V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, CPUS, id="version 1, none"),
        pytest.param(V1, {"unified/cpu.max": "200000 100000\n"}, 2, id="both versions"),
    ],
)
def test_quotas(file_system, cgroup, quotas, cpus):
    file_system({"proc/self/cgroup": cgroup} | {f"sys/fs/cgroup/{path}": text for path, text in quotas.items()})
    assert fastlstm.available_cpus() == cpus


def test_affinity_is_followed_at_once(file_system, monkeypatch):
    assert fastlstm.available_cpus() == CPUS
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    assert fastlstm.available_cpus() == 1


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
    assert info["engine"] == ("blas" if info["instruction_set"] == "scalar" else "native")
    with fastlstm.engine("reference"):
        assert fastlstm.cpu_info()["engine"] == "reference"


FORKS = """
import os, signal, warnings
import numpy as np
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
threads = lambda: len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else None
before = threads()
from fastlstm import _core
assert threads() == before, "importing made a thread"

def works():
    counts = np.zeros(3, np.int64)
    return _core.count_tasks(counts) == 3 and counts.tolist() == [2, 2, 2]

assert works()
assert threads() == (before and before + 2)
children = 0
for k in range(100):
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        os._exit(0 if works() else 1)
    children += os.waitpid(child, 0)[1] == 0
    assert works()
print(children)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_no_thread_at_import_and_forks_after_use():
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("100\n", "")
