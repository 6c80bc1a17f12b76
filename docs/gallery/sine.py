import unrolled

import keras
import numpy as np

wave = np.sin(np.arange(1000) / 5).astype("float32")
x = np.lib.stride_tricks.sliding_window_view(wave[:-1], 40)[..., None]
y = wave[40:]  # the number that follows each window
layers = [unrolled.GRU(16), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((40, 1)), *layers])
model.compile("adam", "mse")
model.fit(x, y, epochs=20, verbose=0)
unrolled.explain(model, x[0]).save("sine.html")
