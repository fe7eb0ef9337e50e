"""Sites in the words of others, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import TaskError
from superalign.interp.formats.names import layer_and_dictionary, unit_at
from superalign.interp.units import Unit


@pytest.mark.parametrize(
    ("layer", "dictionary", "site", "kind"),
    [
        ("0", "res-jb", "resid.0+res-jb", "latent"),
        ("6", "res_scefr-ajt", "resid.6+res_scefr-ajt", "latent"),
        ("12", "gemmascope-mlp-16k", "mlp_out.12+gemmascope-mlp-16k", "latent"),
        ("3", "att-kk", "attn.3+att-kk", "latent"),
        ("2", "mlp-neurons", "mlp.2", "neuron"),
        ("2", "resid-directions", "resid.2", "direction"),
        ("2", "mlp_out-latents", "mlp_out.2", "latent"),
        ("1", "other", "site.1+other", "latent"),
        ("", "gemma res", "resid+gemma-res", "latent"),
    ],
)
def test_a_dictionary_s_name_tells_the_place(layer: str, dictionary: str, site: str, kind: str) -> None:
    assert unit_at(layer, dictionary, 5) == Unit(site, 5, kind)  # type: ignore[arg-type]


@given(
    st.sampled_from(["resid", "attn", "mlp", "mlp_in", "mlp_out", "embed"]),
    st.integers(0, 40) | st.none(),
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}[a-z0-9]", fullmatch=True) | st.none(),
    st.integers(0, 10**6),
    st.sampled_from([1, -1]),
)
def test_what_is_written_is_read_again(place: str, layer: int | None, name: str | None, index: int, sign: int) -> None:
    site = place + (f".{layer}" if layer is not None else "") + (f"+{name}" if name else "")
    unit = Unit(site, index, "latent" if name else "neuron", sign)
    if name in ("neurons", "directions", "latents") or (name or "").endswith("-negative"):
        return  # words that mean something here
    assert unit_at(*layer_and_dictionary(unit), index) == unit


def test_foreign_sites_are_refused() -> None:
    with pytest.raises(TaskError, match=r"'a b' is no site; expected one such as mlp\.0 or resid\.3\+topk"):
        layer_and_dictionary(Unit("a b", 1))
    with pytest.raises(
        TaskError, match=r"the units of 'mine\.3' cannot be written in this form; the place must be one"
    ):
        layer_and_dictionary(Unit("mine.3", 1))
