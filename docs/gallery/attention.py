import unrolled

import keras
import numpy as np

source = np.random.default_rng(0).integers(1, 10, (2000, 7))
target = source[:, ::-1]  # the same seven digits, in reverse
before = np.pad(target, [(0, 0), (1, 0)])[:, :-1]  # written so far
read = keras.Input((7,), dtype="int32")
written = keras.Input((7,), dtype="int32")
embed = keras.layers.Embedding(10, 8)
encoder = unrolled.GRU(16, return_sequences=True, return_state=True, name="encoder")
memory, state = encoder(embed(read))
mechanism = unrolled.BahdanauAttention(16)
cell = unrolled.AttentionCell(unrolled.GRUCell(16), mechanism, 16)
decoder = unrolled.RNN(cell, return_sequences=True, name="decoder")
y = decoder(embed(written), [state], memory=memory)  # starts there, looks back
y = keras.layers.Dense(10, activation="softmax")(y)
model = keras.Model([read, written], y)
adam = keras.optimizers.Adam(0.02)
model.compile(adam, "sparse_categorical_crossentropy")
model.fit([source, before], target, epochs=12, verbose=0)
unrolled.explain(model, [source[:1], before[:1]]).save("attention.html")
