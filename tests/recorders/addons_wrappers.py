"""Echo state networks."""

from tensorflow_addons import rnn


def record(case):
    """Record each."""
    case("esn", lambda: rnn.ESNCell(4, connectivity=0.5), "wrappers.esn")
    case(
        "esn_leaky",
        lambda: rnn.ESNCell(4, leaky=0.3, use_bias=False, activation="linear"),
        "wrappers.esn",
        {"leaky": 0.3, "activation": None},
    )
