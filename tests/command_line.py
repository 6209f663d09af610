"""What the tests of the command line share: a text, sizes that train in no time, and ways to run a command."""

import subprocess
import sys

TEXT = "the quick brown fox jumps over the lazy dog\n" * 40
SIZES = ["--hidden-size", "8", "--num-layers", "1", "--batch-size", "4", "--seq-length", "20", "--seed", "1", "--threads", "1"]


def command(*arguments, **options):
    """Starts one; the fixture `start` also ends it."""
    return subprocess.Popen([sys.executable, "-m", "fastlstm", *map(str, arguments)], stderr=subprocess.PIPE, **options)


def run(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "fastlstm", *map(str, arguments)], capture_output=True, **options)
