"""What any Keras peer shares, on whichever backend: the layer and the main job."""

from __future__ import annotations

import keras

from cases import EXAMPLES, Case
from peers import Ready
from peers.given import arrays, digits


def policy(dtype: str) -> str:
    """Keras's name of the dtype policy."""
    return "mixed_bfloat16" if dtype == "bfloat16" else dtype


def make_layer(layers, case: Case, **kwargs):
    """The layer of a case, built, with the shared weights."""
    layer = getattr(layers, case.cell)(
        case.shape[3],
        use_bias=case.use_bias,
        recurrent_dropout=case.recurrent_dropout,
        dtype=policy(case.dtype),
        **kwargs,
    )
    layer.build((None, case.shape[1], case.shape[2]))
    layer.set_weights(arrays(case).weights)
    return layer


def make_model(layers, case: Case) -> Ready:
    """One epoch of the main job with Keras's own `fit`."""
    keras.config.set_dtype_policy(policy(case.dtype))
    x, y = digits()
    layer = getattr(layers, case.cell)(case.shape[3])
    model = keras.Sequential([layer, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss)
    b = case.shape[0]
    return Ready(
        lambda: model.fit(x, y, batch_size=b, epochs=1, verbose=0),
        steps=-(-EXAMPLES // b),
    )
