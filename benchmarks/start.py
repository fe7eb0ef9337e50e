"""Start-up: `import superalign` against bare Python, and `superalign --help`, medians of interleaved runs.

Budgets: the import adds less than 0.05 s, the help takes less than 0.3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import superalign": [sys.executable, "-c", "import superalign"],
    "superalign --help": [sys.executable, "-c", "from superalign.cli.main import main; main()", "--help"],
    "superalign w2s --help": [sys.executable, "-c", "from superalign.cli.main import main; main()", "w2s", "--help"],
}


def main() -> None:
    """Run each command 15 times in turn and print the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(15):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    bare = statistics.median(seconds["python -c pass"])
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"{name:24s} {middle:.3f} s   {middle - bare:+.3f} s against bare Python")


if __name__ == "__main__":
    main()
