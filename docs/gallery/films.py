import unrolled

import keras
import numpy as np

# A dot that goes its way, one position a step, over images of 10 x 10.
start = np.random.default_rng(0).integers(0, 10, (200, 2))
way = np.random.default_rng(1).choice([-1, 1], (200, 2))
rows, columns = np.mgrid[:10, :10]
films = np.zeros((200, 7, 10, 10, 1), "float32")
for t in range(7):
    r, c = ((start + t * way) % 10).T[:, :, None, None]
    films[:, t, ..., 0] = np.exp(-((rows - r) ** 2) - (columns - c) ** 2)
layers = [
    unrolled.ConvLSTM2D(4, 3, padding="same", name="films"),
    keras.layers.Conv2D(1, 3, padding="same", name="next"),
]
model = keras.Sequential([keras.Input((6, 10, 10, 1)), *layers])
model.compile(keras.optimizers.Adam(0.02), "mse")
model.fit(films[:, :6], films[:, 6], epochs=5, verbose=0)
unrolled.explain(model, films[0, :6]).save("films.html")
