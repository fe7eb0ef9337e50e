"""A place to run methods that nobody has read.

    sandbox = Sandbox.open()
    outcome = sandbox.run(Path("idea.py"), "method", {"train_x": x}, seed=0)

A method is `method(public: dict[str, ndarray], seed: int) -> ndarray` in a Python file that may import numpy and the
packages installed beside it. Each run is a fresh process in fresh namespaces (`launch`): it sees the interpreter, its
inputs and an empty folder. That costs 0.15 s, of which 0.1 s are Python and numpy starting. What it does wrong comes back as an `Outcome`; only the caller's own mistakes raise.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.research.sandbox.capabilities import Capabilities, Needs, SandboxRefused
from superalign.research.sandbox.limits import Limits
from superalign.research.sandbox.process import job, perform
from superalign.research.sandbox.unhardened import CAPABILITIES, perform_unhardened

if TYPE_CHECKING:
    from superalign.research.sandbox.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What runs methods; `open` it. `capabilities` were proven by live attempts, once per process."""

    capabilities: Capabilities
    hardened: bool = True

    @classmethod
    def open(cls, needs: Needs | None = None, unsafe: bool = False) -> Sandbox:
        """A sandbox that covers the needs (by default all there are).

        Raises SandboxRefused where it does not. `unsafe` runs methods as ordinary processes, to debug your own: it
        asks for nothing, and every outcome says that it was not hardened.
        """
        if unsafe:
            return cls(CAPABILITIES, hardened=False)
        if not sys.platform.startswith("linux"):
            raise SandboxRefused(
                f"code that nobody has read is run on Linux alone, and this is {sys.platform}; "
                "use a Linux machine, or unsafe=True for code of your own"
            )
        from superalign.research.sandbox.probes import proven

        found = proven()
        missing = list((needs or Needs()).missing(found))
        if missing:
            raise SandboxRefused(
                f"the sandbox does not keep what this run needs: {'; '.join(missing)}. Use a newer kernel (Landlock and "
                "user namespaces), ask for less with needs=Needs(...), or unsafe=True for code of your own"
            )
        return cls(found)

    def run(
        self,
        code: Path | str,
        function: str,
        public: Mapping[str, Any],
        seed: int,
        limits: Limits | None = None,
        items: int | None = None,
    ) -> Outcome:
        """Run `function` of a file, or of a text, on public arrays.

        `items` is the number of predictions where it is known: another shape is `invalid`. Raises SpecError for code
        that cannot be read, arrays that cannot be given and names that are none.
        """
        asked = job(code, function, public, seed, limits or Limits())
        return perform(asked, items) if self.hardened else perform_unhardened(asked, items)
