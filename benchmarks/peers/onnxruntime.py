"""ONNX's recurrent operators in onnxruntime; time-major, the only layout it runs."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from cases import Case
from peers import THREADS, Ready, UnsupportedError
from peers.given import arrays

OPS = {"SimpleRNN": "RNN", "LSTM": "LSTM", "GRU": "GRU"}
ORDER = {"SimpleRNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [0, 1, 2]}  # of Keras's gates


def versions() -> dict[str, str]:
    """The runtime."""
    return {"onnxruntime": ort.__version__}


def model(case: Case, given, states_out: bool = False) -> bytes:
    """A graph of one operator: X, h0 (, c0) (, lengths) -> Y, or hn (, cn)."""
    b, t, d, u = case.shape

    def rows(a):  # (K, G*U) -> (1, G*U, K)
        blocks = np.split(a, len(ORDER[case.cell]), axis=-1)
        return np.concatenate([blocks[i] for i in ORDER[case.cell]], -1).T[None]

    weights = {"W": rows(given.kernel), "R": rows(given.recurrent_kernel)}
    if given.bias is not None:
        two = given.bias if case.cell == "GRU" else [given.bias, 0 * given.bias]
        weights["B"] = np.concatenate([rows(v[None])[..., 0] for v in two], -1)
    names = ["X", "W", "R", "B" if given.bias is not None else ""]
    names += ["lengths" if given.mask is not None else "", "h0"]
    names += ["c0"] if case.cell == "LSTM" else []
    outputs = ["", "hn", "cn"][: len(names) - 4] if states_out else ["Y"]
    options = {"linear_before_reset": 1} if case.cell == "GRU" else {}
    node = helper.make_node(OPS[case.cell], names, outputs, hidden_size=u, **options)
    f32 = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("X", f32, [t, b, d])]
    if given.mask is not None:
        info = helper.make_tensor_value_info("lengths", TensorProto.INT32, [b])
        inputs.append(info)
    inputs += [helper.make_tensor_value_info(s, f32, [1, b, u]) for s in names[5:]]
    graph = helper.make_graph(
        [node],
        "one_layer",
        inputs,
        [
            helper.make_tensor_value_info(
                s, f32, [t, 1, b, u] if s == "Y" else [1, b, u]
            )
            for s in outputs
            if s
        ],
        [
            numpy_helper.from_array(np.ascontiguousarray(v), k)
            for k, v in weights.items()
        ],
    )
    opset = helper.make_opsetid("", 17)
    made = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    return made.SerializeToString()


def session(serialized: bytes) -> ort.InferenceSession:
    """Two threads (or as many as asked), which sleep once a run is over."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(serialized, options, ["CPUExecutionProvider"])


def build(case: Case) -> Ready:
    """Forward only."""
    if case.mode != "forward":
        raise UnsupportedError("inference only")
    if case.dtype != "float32":
        raise UnsupportedError(f"no {case.dtype} recurrent operators on the CPU")
    if case.mask == "random":
        raise UnsupportedError("right-padded sequences only")
    if case.recurrent_dropout:
        raise UnsupportedError("no recurrent dropout")
    given = arrays(case)
    ready = session(model(case, given))
    feed = {"X": np.ascontiguousarray(given.x.swapaxes(0, 1))}
    feed.update(zip(("h0", "c0"), (s[None] for s in given.states), strict=False))
    if given.mask is not None:
        feed["lengths"] = given.mask.sum(1).astype("int32")

    def run():
        return ready.run(["Y"], feed)[0]

    return Ready(run, lambda y: {"y": y[:, 0].swapaxes(0, 1)})


def build_stream(case: Case) -> Ready:
    """The operator over one step, its final states fed back."""
    given = arrays(case)
    ready = session(model(case, given, states_out=True))
    names = ("h0", "c0")[: len(given.states)]
    feed = {name: s[None] for name, s in zip(names, given.states, strict=True)}
    feed["X"] = given.x[:, 0][None]
    wanted = [name.replace("0", "n") for name in names]

    def run():
        states = ready.run(wanted, feed)
        feed.update(zip(names, states, strict=True))
        return states[0][0]

    return Ready(run, lambda y: {"y": y})
