"""Builds the extensions; everything else stands in pyproject.toml."""

import glob
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError, ExecError

FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-pthread"]
HEADERS = sorted(glob.glob("csrc/*.h"))


def extension(name: str, sources: list[str] = ()) -> Extension:
    return Extension(
        f"fastlstm.{name}",
        [f"src/fastlstm/{name}.pyx", *sources],
        include_dirs=["csrc"],
        extra_compile_args=FLAGS,
        extra_link_args=["-pthread"],
        depends=[*HEADERS, "src/fastlstm/_core.pxd", "src/fastlstm/_native.pxd"],
    )


class BuildExtensions(build_ext):
    """Says what to install where there is no C compiler or no Python header."""

    def build_extensions(self) -> None:
        compile_in_turn = self.compiler.compile

        def compile_side_by_side(sources: list[str], **options: object) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return [*chain.from_iterable(pool.map(lambda source: compile_in_turn([source], **options), sources))]

        self.compiler.compile = compile_side_by_side
        try:
            super().build_extensions()
        except (CCompilerError, CompileError, ExecError) as error:
            raise SystemExit(
                f"fastlstm needs a C compiler and Python's headers to build, and compiling failed: {error}\n"
                "Debian, Ubuntu: apt install gcc python3-dev    Fedora: dnf install gcc python3-devel\n"
                "macOS: xcode-select --install"
            ) from None


setup(
    ext_modules=[
        extension("_core", sorted(glob.glob("csrc/*.c"))),
        extension("_loops"),
        extension("_native"),
        extension("_passes"),
        extension("_sample"),
    ],
    cmdclass={"build_ext": BuildExtensions},
    options={"build_ext": {"parallel": os.cpu_count()}},
)
