"""What a measurement was made on: the machine, its limits, and the versions of everything that computes."""

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable
from ctypes import CDLL, c_double
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from peers import PEERS

HERE = Path(__file__).resolve().parent


def hold_threads(n: int) -> None:
    """Tell the BLAS and OpenMP libraries how many threads to have; to be called before they are loaded."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(n)


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()


def _blas() -> str:
    """SciPy's BLAS, which fastlstm's blas engine calls, and the kind of core it has chosen its kernels for."""
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import threadpool_info

    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    own = [library for library in found if "scipy" in str(Path(library["filepath"]).parent)] or found
    return ", ".join(
        f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip() for library in own
    )


def describe(threads: int) -> dict[str, str | int | dict[str, str]]:
    """The machine, the versions and the commit."""
    import fastlstm

    info = fastlstm.cpu_info()
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": info["cpus"],
        "threads": threads,
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
        "blas": _blas(),
        "peers": {peer.name: peer.version() for peer in PEERS},
        "fastlstm": fastlstm.__version__,
        "commit": _output("git", "describe", "--always", "--dirty", "--exclude=*") or "unknown",
        "instruction_set": info["instruction_set"],
        "engine": info["engine"],
    }


def _compiled(target: Path, *options: str) -> None:
    """`limits.c` with the instructions of this processor, or those of AVX2 where fastlstm is forced to them."""
    import fastlstm

    instructions = ["-mavx2", "-mfma"] if fastlstm.cpu_info()["instruction_set"] == "avx2" else ["-march=native"]
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-O3", *instructions, *options, str(HERE / "limits.c"), "-o", str(target)], check=True)


def resident(name: str) -> int:
    """Bytes of this process's memory as Linux tells them: VmRSS, and at its peak VmHWM."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].split()[0]) << 10


def limits() -> dict[str, float]:
    """Of one core, measured by `limits.c`: fma_gflops; l1_gbs, l2_gbs, l3_gbs, dram_gbs of reading; l1_bytes and so on."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "limits"
        _compiled(program)
        return json.loads(subprocess.run([str(program)], capture_output=True, check=True).stdout)


def fma_peak() -> Callable[[int], float]:
    """What measures the GFLOP/s of fused multiply-adds in registers: the best of so many runs of some 2 ms."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "limits.so"
        _compiled(library, "-shared", "-fPIC")
        peak = CDLL(str(library)).fma_gflops
    peak.restype = c_double
    return peak
