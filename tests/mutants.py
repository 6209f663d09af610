"""Plants faults one at a time in copies of the tree and asks whether the tests named for each catch it.

Run as `python tests/mutants.py` with an interpreter that has NumPy, SciPy, Cython and pytest. A fault is caught when an
assertion of a named test fails; a build error, any other exception, a crash or a timeout is no catch. Only what a fault
changes is built anew: of the kernels those of one instruction set, on which the tests then run.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Queue

from faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[1]
COPIES = 2  # of the tree, each with a fault of its own at a time
# The arithmetic flags are those of setup.py.
COMPILER = (
    *sysconfig.get_config_var("CC").split(), "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC",
    "-fvisibility=hidden", "-pthread", "-Icsrc", f"-I{sysconfig.get_path('include')}",
)
LINKER = (*sysconfig.get_config_var("LDSHARED").split(), "-pthread")


class Copy:
    """A copy of a tree, with what it was built into: what the tests here import."""

    def __init__(self, original: Path, root: Path, isa: str) -> None:
        self.original, self.root, self.isa = original, root, isa
        shutil.copytree(original, root)
        self.environment = {**os.environ, "PYTHONPATH": str(root / "src"), "FASTLSTM_ISA": isa}
        self.environment["COLUMNS"] = "1000"  # pytest cuts the reasons of failures to the terminal's width
        code = "import fastlstm, fastlstm._core as core; print(fastlstm.__file__, core.__file__, sep='\\n')"
        files = run(root, self.environment, sys.executable, "-c", code).stdout.splitlines()
        if len(files) != 2 or not all(Path(file).resolve().is_relative_to(root) for file in files):
            sys.exit(f"the tests would import {files}, not the copy in {root}")

    def plant(self, fault: Fault) -> list[str]:
        """Replace and build; returns all files that are now others than in the original."""
        replace(self.root / fault.file, fault.old, fault.new)
        if fault.file.endswith(".py"):
            return [fault.file]
        built = [file for source in sources_of(self.root, fault.file, self.isa) for file in compiled(self.root, source)]
        built += linked(self.root, "_core" if fault.file.startswith("csrc") else Path(fault.file).stem)
        if (self.root / built[-1]).read_bytes() == (self.original / built[-1]).read_bytes():
            sys.exit(f"{fault.name}: the build did not take up the change")
        return [fault.file, *built]

    def restore(self, files: list[str]) -> None:
        """Take these files from the original again."""
        for file in files:
            shutil.copyfile(self.original / file, self.root / file)

    def test(self, tests: tuple[str, ...]) -> str:
        """Run tests up to the first failure: "passed", "failed: <which>", or what else went wrong."""
        # What a fault leaves unwritten can be any number: no warning about it may come before the assertion.
        pytest = "-m", "pytest", "-x", "--tb=no", "-rf", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning"
        try:
            named = [test.replace("ISA", self.isa) for test in tests]
            done = run(self.root, self.environment, sys.executable, *pytest, *named)
        except subprocess.TimeoutExpired:
            return "timeout"
        lines = done.stdout.splitlines() or [""]
        if done.returncode == 0 and re.search(r"\d+ passed", lines[-1]):
            return "passed"
        failure = re.search(r"^FAILED .*::(.+) - assert", done.stdout, re.MULTILINE | re.IGNORECASE)
        if done.returncode == 1 and failure:
            return f"failed: {failure[1]}"
        return f"neither passed nor failed (exit {done.returncode}): {lines[-2:]}"


def run(folder: Path, environment: dict[str, str] | None, *command: str) -> subprocess.CompletedProcess:
    """Run a command in a folder."""
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def text_with(path: Path, old: str) -> str:
    """The text of a file in which `old` must occur once."""
    text = path.read_text()
    if text.count(old) != 1:
        sys.exit(f"{path}: {old!r} occurs {text.count(old)} times instead of once")
    return text


def replace(path: Path, old: str, new: str) -> None:
    """Replace the one occurrence of `old`."""
    path.write_text(text_with(path, old).replace(old, new))


# ---- building: one file of C at a time, which is all that most faults need --------------------------------------


def make(root: Path, *command: str) -> None:
    done = run(root, None, *command)
    if done.returncode:
        sys.exit(f"the build failed:\n{done.stdout}{done.stderr}")


def compiled(root: Path, source: str) -> list[str]:
    """Compile a file of C or Cython; returns what that makes."""
    stem, made = source.rpartition(".")[0], []
    if source.endswith(".pyx"):
        make(root, sys.executable, "-m", "cython", "-3", source)
        made = [f"{stem}.c"]
    make(root, *COMPILER, "-O0" if made else "-O1", "-MMD", "-c", f"{stem}.c", "-o", f"{stem}.o")
    return [*made, f"{stem}.o", f"{stem}.d"]


def linked(root: Path, extension: str) -> list[str]:
    """Link an extension; returns its name."""
    objects = [f"src/fastlstm/{extension}.o"]
    if extension == "_core":
        objects += [str(path.relative_to(root)) for path in sorted(root.glob("csrc/*.o"))]
    library = f"src/fastlstm/{extension}{sysconfig.get_config_var('EXT_SUFFIX')}"
    make(root, *LINKER, *objects, "-o", library)
    return [library]


def sources_of(root: Path, file: str, isa: str) -> list[str]:
    """What must be compiled after a change of `file`, for tests on one instruction set."""
    if not file.endswith(".h"):
        return [file]
    found = [path for path in root.glob("csrc/*.d") if file in path.read_text().split()]
    return [f"csrc/{path.stem}.c" for path in found if path.stem == f"kernels_{isa}" or "kernels" not in path.stem]


def build(root: Path) -> str:
    """Copy the working tree, and build it; returns the instruction set to test on."""
    listed = run(ROOT, None, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    sources = [str(path.relative_to(root)) for path in (*root.glob("src/fastlstm/*.pyx"), *root.glob("csrc/*.c"))]
    with ThreadPoolExecutor(COPIES) as pool:
        list(pool.map(partial(compiled, root), sources))
    for source in root.glob("src/fastlstm/*.pyx"):
        linked(root, source.stem)
    # By its hash: a fault of the same size in the same second would be taken for its original.
    make(root, sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "src")
    replace(root / "tests/conftest.py", "params=_core.available_isas()", "params=[_core.isa()]")
    code = "from fastlstm._core import available_isas as names; print(next(n for n in names() if n != 'avx512'))"
    return run(root, {**os.environ, "PYTHONPATH": "src"}, sys.executable, "-c", code).stdout.strip()


def try_out(copies: Queue[Copy], fault: Fault) -> tuple[str, float]:
    """What the tests say of a fault in a free copy, and in how many seconds."""
    copy, start = copies.get(), time.monotonic()
    try:
        changed = copy.plant(fault)
        verdict = copy.test(fault.tests)
        copy.restore(changed)
    finally:  # or the other faults would wait for it
        copies.put(copy)
    return verdict, time.monotonic() - start


def main() -> int:
    for fault in FAULTS:
        text_with(ROOT / fault.file, fault.old)
    with tempfile.TemporaryDirectory(prefix="fastlstm-mutants-") as folder, ThreadPoolExecutor(COPIES) as pool:
        original = Path(folder).resolve() / "original"
        isa = build(original)
        made = [Copy(original, original.with_name(str(k)), isa) for k in range(COPIES)]
        tests = tuple(dict.fromkeys(test for fault in FAULTS for test in fault.tests))
        shares = [tests[k::COPIES] for k in range(min(COPIES, len(tests)))]
        for verdict in pool.map(Copy.test, made, shares):
            if verdict != "passed":
                sys.exit(f"without any fault, the named tests: {verdict}")
        copies: Queue[Copy] = Queue()
        for copy in made:
            copies.put(copy)
        caught = 0
        for fault, (verdict, seconds) in zip(FAULTS, pool.map(partial(try_out, copies), FAULTS), strict=True):
            caught += verdict.startswith("failed")
            mark = "caught" if verdict.startswith("failed") else "MISSED"
            print(f"{mark}  {fault.name:57} {Path(fault.file).name:14} {seconds:4.1f} s  {verdict}", flush=True)
    print(f"{caught} of {len(FAULTS)} caught")
    return 0 if caught == len(FAULTS) else 1


if __name__ == "__main__":
    sys.exit(main())
