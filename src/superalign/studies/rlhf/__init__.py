"""Reinforcement learning from an overseer's preferences (Ouyang et al. 2022; Gao et al. 2022).

Which algorithm, reward model and KL weight raise the truth, and when does the proxy stop tracking it?
`rlhf(spec)` runs a spec and returns its Record; `superalign rlhf` calls the same function.
"""

from superalign.studies.rlhf.spec import RLHF
from superalign.studies.rlhf.sweep import prepare, rlhf, study

__all__ = ["RLHF", "prepare", "rlhf", "study"]
