"""Every layer of a model at its place."""

import unrolled
from unrolled.explain.facts import strip

import keras


def test_a_decoder_has_its_layers_once_and_in_order_of_use():
    """Its cell is that of the layer inside which runs it."""
    embedding, output = keras.layers.Embedding(5, 3), keras.layers.Dense(5)
    decoder = unrolled.Decoder(embedding, unrolled.GRUCell(4), output)
    assert strip.children(decoder) == [embedding, decoder.rnn, output]
