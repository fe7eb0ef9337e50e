"""A dictionary from a path, whichever project wrote it."""

from __future__ import annotations

from pathlib import Path

from superalign.core.errors import ModelError
from superalign.interp.dictionaries.dictionary import Dictionary
from superalign.interp.dictionaries.formats import saelens, sparsify
from superalign.interp.dictionaries.formats.arrays import read_linear, read_npz

FORMS = "sae.safetensors (sparsify), sae_weights.safetensors (SAELens), params.npz, or encoder.weight/decoder.weight in one .safetensors file"  # fmt: skip
_PICKLES = (".pt", ".pth", ".bin", ".pkl")


def read(path: str | Path, *, scale: float | None = None) -> Dictionary:
    """The dictionary in a folder or file. `scale` as in `read_saelens`; other forms take none.

    Raises ModelError that says what was found where no form fits. Pickled files are not opened.
    """
    at = Path(path).expanduser()
    if (at / saelens.WEIGHTS).is_file():
        return saelens.read_saelens(at, scale=scale)
    if scale is not None:
        raise ModelError(f"{at} is not of the form of SAELens, whose files alone leave out a scale; leave it out")
    if (at / sparsify.WEIGHTS).is_file():
        return sparsify.read_sparsify(at)
    return _file(_only(at) if at.is_dir() else at)


def _only(folder: Path) -> Path:
    """The one file of a folder that can hold a dictionary."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    chosen = [file for file in files if file.suffix in (".npz", ".safetensors")]
    if len(chosen) == 1:
        return chosen[0]
    pickled = next((file for file in files if file.suffix in _PICKLES), None)
    if not chosen and pickled is not None:
        return pickled
    there = ", ".join(file.name for file in files[:12]) or "nothing"
    raise ModelError(f"{folder} is no dictionary; one has {FORMS}; there is: {there}")


def _file(path: Path) -> Dictionary:
    if not path.exists():
        raise ModelError(f"there is no {path}; give a folder or file with {FORMS}")
    if path.suffix in _PICKLES:
        raise ModelError(f"{path} is a pickle, which can run code when it is opened; load it where you trust it, with "
                         "torch.load(..., weights_only=True), and save it with safetensors.torch.save_file")  # fmt: skip
    if path.name in (saelens.WEIGHTS, sparsify.WEIGHTS):
        raise ModelError(f"{path} has no cfg.json beside it or was named alone; name its folder {path.parent}")
    if path.suffix == ".npz":
        return read_npz(path)
    if path.suffix == ".safetensors":
        return read_linear(path)
    raise ModelError(f"{path} is no dictionary; one has {FORMS}")
