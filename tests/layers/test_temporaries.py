"""What a call keeps: `return_sequences=False` must not grow with T."""

import unrolled

import jax
import pytest

from ..table import CELLS

# The native core keeps its scratch to itself; XLA's figure is of the scan.
pytestmark = [pytest.mark.usefixtures("scan_path"), pytest.mark.optimised]

B, D, U = 4, 3, 32
SHORT, LONG = 100, 10_000


def _temporary(layer, steps, masked, batch=B):
    """Bytes XLA reserves beside arguments and results, for an inference call."""
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def run(x, mask):
        return layer.stateless_call(weights, rest, x, mask=mask)[0]

    x = jax.ShapeDtypeStruct((batch, steps, D), "float32")
    mask = jax.ShapeDtypeStruct((batch, steps), "bool") if masked else None
    return jax.jit(run).lower(x, mask).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("row", CELLS, ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("batch", [1, 32])
def test_the_last_output_alone_needs_no_more_for_longer_sequences(row, masked, batch):
    layer = row.layer(U, **row.kwargs)
    layer.build((batch, None, D))
    short = _temporary(layer, SHORT, masked, batch)
    long = _temporary(layer, LONG, masked, batch)
    # The input may be laid out anew, time first; no state or gate may be kept.
    copies = 2 * (LONG - SHORT) * batch * (4 * D + 1)
    assert long - short <= copies
    assert copies < (LONG - SHORT) * batch * U * 4  # one U a step would show


def test_all_outputs_do_need_it():
    """The measure works: keeping every output costs at least those outputs."""
    layer = unrolled.LSTM(U, return_sequences=True)
    layer.build((B, None, D))
    grown = _temporary(layer, LONG, False) - _temporary(layer, SHORT, False)
    assert grown >= (LONG - SHORT) * B * U * 4
