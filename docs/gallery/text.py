import unrolled

import keras
import numpy as np

said = "a good film,not a good film,a very bad film,it was not bad at all"
rows = [line.split() for line in said.split(",")]
words = sorted({word for row in rows for word in row})
ids = [[words.index(word) + 1 for word in row] for row in rows]
x = keras.utils.pad_sequences(ids, padding="post")  # 0 is padding
y = np.array([1, 0, 0, 1])  # whether it is praise
embed = keras.layers.Embedding(len(words) + 1, 8, mask_zero=True)
both = unrolled.Bidirectional(unrolled.LSTM(8))
out = keras.layers.Dense(1, activation="sigmoid")
read = keras.Input((None,), dtype="int32")
model = keras.Sequential([read, embed, both, out])
model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
model.fit(x, y, epochs=60, verbose=0)
unrolled.explain(model, x[:2]).save("text.html")
