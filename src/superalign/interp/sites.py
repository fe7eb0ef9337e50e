"""Where a transformer can be read and changed: plain forward hooks on the model as transformers made it.

A site is `<kind>.<layer>`:

    resid.3     the output of block 3
    attn.3      what its attention adds, after the output projection
    mlp_in.3    what its MLP reads, after the norm
    mlp.3       its MLP neurons: what the down projection reads, after the activation (and the gate, where there is one)
    mlp_out.3   what its MLP adds

The parts of a block are found by their names, which the architectures of transformers share more or less; a part that
is not there (a mixture of experts has no one down projection) is no site. Attention and MLP are read at their last
linear map, because some architectures (BLOOM) add the residual inside the part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from superalign.core.errors import ModelError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

KINDS = ("attn", "mlp_in", "mlp", "mlp_out", "resid")
"""In the order of computation within a block."""

_ATTENTION = ("self_attn", "self_attention", "attention", "attn")
_ATTENTION_OUT = ("o_proj", "out_proj", "dense", "c_proj")
_MLP = ("mlp", "ffn", "feed_forward")
_MLP_OUT = ("down_proj", "c_proj", "fc_out", "fc2", "dense_4h_to_h", "w2")
_MLP_IN = ("fc1",)
"""Of blocks that hold the maps of their MLP themselves (OPT, BioGPT, XGLM)."""

Call = Callable[["Tensor"], "Tensor | None"]


class _Stop(Exception):
    """Everything that is asked for has been read."""


def sites_of(model: nn.Module) -> dict[str, int]:
    """Every site and its width, in the order of computation. Raises ModelError for a model without blocks."""
    found: dict[str, int] = {}
    for layer, block in enumerate(blocks(model)):
        parts = _parts(block)
        widths = {kind: _width(parts[kind], kind) for kind in parts if kind in ("attn", "mlp", "mlp_out")}
        stream = widths.get("mlp_out") or widths.get("attn") or int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]
        widths |= {kind: stream for kind in parts if kind in ("mlp_in", "resid")}
        found |= {f"{kind}.{layer}": widths[kind] for kind in KINDS if kind in parts}
    return found


def expand(names: Sequence[str], known: Mapping[str, int]) -> tuple[str, ...]:
    """The sites that are meant, in the order of computation: `mlp` is every layer's, `mlp.0` one of them.

    Raises ModelError for a name that is no site of the model.
    """
    wanted: set[str] = set()
    for name in names:
        meant = {site for site in known if name in (site, site.partition(".")[0])}
        if not meant:
            raise ModelError(f"this model has no site {name!r}; {_near(name, known)}")
        wanted |= meant
    if not wanted:
        raise ModelError(f"no site was named; {_near('', known)}")
    return tuple(site for site in known if site in wanted)


@contextmanager
def reading(
    model: nn.Module, sites: Sequence[str], sink: Callable[[str, Tensor], None], *, stop: bool = False
) -> Iterator[None]:
    """Within the context, every forward pass hands the activations of each site to `sink(site, x)`, x (B, L, d).

    They are the model's own tensors, and what comes later may overwrite them: copy what you keep. With `stop`, the
    forward pass ends when all sites have been read once, and with it the body of the `with` statement.
    """
    waiting = set(sites)

    def read(site: str, x: Tensor) -> None:
        sink(site, x)
        waiting.discard(site)
        if stop and not waiting:
            raise _Stop

    with _hooked(model, {site: partial(read, site) for site in sites}):
        try:
            yield
        except _Stop:
            return


@contextmanager
def replacing(model: nn.Module, site: str, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the context, what flows on from a site is `change(x)`, of the same shape (B, L, d)."""
    with _hooked(model, {site: change}):
        yield


def output_of(model: nn.Module, site: str) -> Tensor | None:
    """The matrix (d, width) by which a site's coordinates enter the residual stream: of `mlp` its down projection. None
    for a site that is in the stream's own coordinates."""
    kind, _, layer = site.partition(".")
    if kind != "mlp":
        return None
    linear: Any = _parts(blocks(model)[int(layer)])["mlp"]
    weight: Tensor = linear.weight
    return weight.T if type(linear).__name__ == "Conv1D" else weight


def blocks(model: nn.Module) -> nn.ModuleList:
    """The list of the model's blocks. Raises ModelError where there is none."""
    from torch import nn

    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    count = getattr(config, "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) and count in (None, len(module)):
            return module
    raise ModelError(
        f"{type(model).__name__} has no list of blocks, so it has no sites; give a decoder-only transformer"
    )


@contextmanager
def _hooked(model: nn.Module, calls: Mapping[str, Call]) -> Iterator[None]:
    """Call `calls[site](x)` whenever a site is computed; what it returns, if anything, takes the place of x."""
    layers = blocks(model)
    rows = _Rows()
    with ExitStack() as hooks:
        hooks.callback(layers[0].register_forward_pre_hook(rows.note, with_kwargs=True).remove)
        for site, call in calls.items():
            kind, _, layer = site.partition(".")
            parts = _parts(layers[int(layer)]) if layer.isdecimal() and int(layer) < len(layers) else {}
            if kind not in parts:
                known = sites_of(model)
                raise ModelError(f"{type(model).__name__} has no site {site!r}; {_near(site, known)}")
            if kind in ("mlp", "mlp_in"):
                hook = parts[kind].register_forward_pre_hook(partial(_before, rows, call))
            else:
                hook = parts[kind].register_forward_hook(partial(_after, rows, call))
            hooks.callback(hook.remove)
        yield


class _Rows:
    """The (B, L) of the running forward pass: some blocks (OPT) flatten it for their MLP."""

    shape: tuple[int, ...] = ()

    def note(self, module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        x = given[0] if given else named["hidden_states"]
        self.shape = tuple(x.shape[:2])

    def through(self, call: Call, x: Tensor) -> Tensor | None:
        if x.dim() == 3:
            return call(x)
        made = call(x.view(*self.shape, x.shape[-1]))
        return None if made is None else made.reshape(x.shape)


def _before(rows: _Rows, call: Call, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    made = rows.through(call, given[0])
    return None if made is None else (made, *given[1:])


def _after(rows: _Rows, call: Call, module: nn.Module, given: tuple[Any, ...], output: Any) -> Any:
    whole = isinstance(output, tuple)
    made = rows.through(call, output[0] if whole else output)
    if made is None:
        return None
    return (made, *output[1:]) if whole else made


def _parts(block: nn.Module) -> dict[str, nn.Module]:
    """The module whose input (`mlp`, `mlp_in`) or output (the others) is the site, by kind."""
    found: dict[str, nn.Module] = {"resid": block}
    attention = _child(block, _ATTENTION)
    inner = _child(attention, ("attention",)) or attention  # GPT-Neo wraps it
    if (out := _child(inner, _ATTENTION_OUT)) is not None:
        found["attn"] = out
    mlp = _child(block, _MLP)
    down, reads = (_child(mlp, _MLP_OUT), mlp) if mlp is not None else (_child(block, ("fc2",)), _child(block, _MLP_IN))
    if down is not None and reads is not None:
        found |= {"mlp_in": reads, "mlp": down, "mlp_out": down}
    return found


def _child(module: nn.Module | None, names: Sequence[str]) -> nn.Module | None:
    children = dict(module.named_children()) if module is not None else {}
    return next((children[name] for name in names if name in children), None)


def _width(linear: Any, kind: str) -> int:
    """Inputs of the map for `mlp`, else its outputs."""
    first, second = linear.weight.shape
    transposed = hasattr(linear, "nf")  # GPT-2's Conv1D is (inputs, outputs)
    return int(first if transposed == (kind == "mlp") else second)


def _near(name: str, known: Mapping[str, int]) -> str:
    kinds: dict[str, list[int]] = {}
    for site in known:
        kind, _, layer = site.partition(".")
        kinds.setdefault(kind, []).append(int(layer))
    if name.partition(".")[0] not in kinds:
        close = nearest(name, known)
        if close.startswith("did"):
            return close
    return "there is: " + ", ".join(f"{kind}.{min(at)} to {kind}.{max(at)}" for kind, at in kinds.items())
