import unrolled

import keras
import numpy as np

source = np.random.default_rng(0).integers(1, 10, (2000, 6))
target = source[:, ::-1]  # the same six digits, in reverse
before = np.pad(target, [(0, 0), (1, 0)])[:, :-1]  # written so far
read = keras.Input((6,), dtype="int32")
written = keras.Input((6,), dtype="int32")
embed = keras.layers.Embedding(10, 16)
encoder = unrolled.LSTM(64, return_state=True, name="encoder")
_, *state = encoder(embed(read))
decoder = unrolled.LSTM(64, return_sequences=True, name="decoder")
y = decoder(embed(written), initial_state=state)  # starts where it ended
y = keras.layers.Dense(10, activation="softmax")(y)
model = keras.Model([read, written], y)
adam = keras.optimizers.Adam(0.01)
model.compile(adam, "sparse_categorical_crossentropy")
model.fit([source, before], target, epochs=20, verbose=0)
unrolled.explain(model, [source[:1], before[:1]]).save("translate.html")
