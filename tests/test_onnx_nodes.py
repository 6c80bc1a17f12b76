"""ONNX's LSTM, GRU and RNN: its own node tests, and onnxruntime on random weights.

Of the attribute `clip` nothing: it acts on what activations read, `cell_clip` on c.
"""

import importlib

import unrolled

import jax
import numpy as np
import pytest

from . import record

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("default"),  # of onnx and what it loads
]
B, T, D, U = 3, 5, 3, 4
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
# Of each operator: our layer, and the gates in ONNX's order and in ours.
OPERATORS = {
    "RNN": (unrolled.SimpleRNN, "h", "h"),
    "GRU": (unrolled.GRU, "zrh", "zrh"),
    "LSTM": (unrolled.LSTM, "iofc", "ifco"),
}


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


def _gates(operator, rows):
    """The rows ``(G*U, ...)`` of ONNX in the order of our columns."""
    _, theirs, ours = OPERATORS[operator]
    parts = dict(zip(theirs, np.split(rows, len(theirs)), strict=True))
    return {gate: parts[gate] for gate in ours}


def _weights(operator, layer, way, given):
    """Those of one direction, in the order of our cell's."""
    coupled = getattr(layer, "couple_gates", False)

    def columns(rows):
        gates = _gates(operator, rows)
        if coupled:  # what is let in is not kept: f = 1 - i
            gates["f"] = -gates.pop("i")
        return np.concatenate(list(gates.values())).T

    weights = [columns(given[name][way]) for name in "WR"]
    biases = np.split(given["B"][way], 2) if "B" in given else []
    if biases and getattr(layer, "reset_after", False):
        weights.append(np.stack([columns(bias) for bias in biases]))
    elif biases:
        weights.append(columns(sum(biases)))
    if "P" in given:
        i, o, f = np.split(given["P"][way], 3)
        weights.append(np.stack([-i, o] if coupled else [i, f, o]))
    return weights


def _ours(operator, options, given):
    """Y, Y_h and, of an LSTM, Y_c, in the layout of ONNX."""
    kind, _, _ = OPERATORS[operator]
    direction = options.get("direction", "forward")
    major = not options.get("layout", 0)
    units = given["R"].shape[-1]
    flags = {"use_bias": "B" in given}
    if operator == "GRU":
        flags["reset_after"] = bool(options.get("linear_before_reset", 0))
    if operator == "LSTM":
        flags["use_peepholes"] = "P" in given
        flags["couple_gates"] = bool(options.get("input_forget", 0))
    layer = kind(
        units,
        return_sequences=True,
        return_state=True,
        go_backwards=direction == "reverse",
        zero_output_for_mask=True,
        time_major=major,
        **flags,
    )
    both = direction == "bidirectional"
    whole = unrolled.Bidirectional(layer, merge_mode=None) if both else layer
    whole.build(given["X"].shape)
    halves = [whole.forward_layer, whole.backward_layer] if both else [layer]
    for way, half in enumerate(halves):
        half.cell.set_weights(_weights(operator, half, way, given))
    more = {}
    names = ("initial_h", "initial_c")[: 1 + (operator == "LSTM")]
    if "initial_h" in given:
        axis = 0 if major else 1
        ways = range(len(halves))
        starts = [given[name].take(way, axis) for way in ways for name in names]
        more["initial_state"] = starts
    if "sequence_lens" in given:
        more["lengths"] = given["sequence_lens"]
    out = [np.asarray(a) for a in jax.tree.leaves(whole(given["X"], **more))]
    outputs, states = out[: len(halves)], out[len(halves) :]
    if direction == "reverse":
        outputs = [np.flip(y, 0 if major else 1) for y in outputs]
    y = np.stack(outputs, 1 if major else 2)
    count = len(names)
    return [y, *(np.stack(states[k::count], 0 if major else 1) for k in range(count))]


def _hold(name, node, options, given, wanted):
    """Ours against what a node gave: one array for each output it names."""
    found = _ours(node.op_type, options, given)
    named = [place for place, output in enumerate(node.output) if output]
    for place, want in zip(named, wanted, strict=True):
        case = f"onnx.{name} {('Y', 'Y_h', 'Y_c')[place]}"
        record.hold("values", "float32", found[place], want, case)


def _options(onnx, node):
    read = onnx.helper.get_attribute_value
    options = {each.name: read(each) for each in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in options.items()}


@pytest.mark.parametrize("operator", OPERATORS)
def test_node_tests(operator, onnx):
    """Each makes its arrays where it is defined: when its module is imported."""
    node_tests = importlib.import_module("onnx.backend.test.case.node")
    importlib.import_module(f"{node_tests.__name__}.{operator.lower()}")
    found = 0
    for test in node_tests._NodeTestCases:
        (node,) = test.model.graph.node
        if node.op_type != operator:
            continue
        found += 1
        names = [n for n, given in zip(INPUTS, node.input, strict=False) if given]
        for inputs, wanted in test.data_sets:
            given = dict(zip(names, map(np.asarray, inputs), strict=True))
            _hold(test.name, node, _options(onnx, node), given, wanted)
    assert found >= 6


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("operator", "options"),
    [
        ("RNN", {}),
        ("GRU", {"linear_before_reset": 0}),
        ("GRU", {"linear_before_reset": 1}),
        ("LSTM", {}),
        ("LSTM", {"P": True}),
        ("LSTM", {"P": True, "input_forget": 1}),
    ],
    ids=str,
)
def test_onnxruntime(operator, options, direction, onnx, rng):
    """All inputs, random: lengths, initial states, both biases."""
    onnxruntime = pytest.importorskip("onnxruntime")
    ways = 1 + (direction == "bidirectional")
    rows = len(OPERATORS[operator][1]) * U
    shapes = {
        "X": (T, B, D),
        "W": (ways, rows, D),
        "R": (ways, rows, U),
        "B": (ways, 2 * rows),
        "sequence_lens": None,
        "initial_h": (ways, B, U),
    }
    if operator == "LSTM":
        shapes["initial_c"] = (ways, B, U)
        shapes |= {"P": (ways, 3 * U)} if "P" in options else {}
    given = {
        name: rng.normal(size=shape).astype("float32")
        if shape
        else np.array([T, 2, 3], "int32")
        for name, shape in shapes.items()
    }
    outputs = ["Y", "Y_h", "Y_c"][: 2 + (operator == "LSTM")]
    node = onnx.helper.make_node(
        operator,
        list(given),
        outputs,
        hidden_size=U,
        direction=direction,
        **{name: value for name, value in options.items() if name != "P"},
    )
    kinds = onnx.TensorProto
    graph = onnx.helper.make_graph(
        [node],
        operator,
        [
            onnx.helper.make_tensor_value_info(
                name, kinds.INT32 if a.dtype == "int32" else kinds.FLOAT, a.shape
            )
            for name, a in given.items()
        ],
        [onnx.helper.make_tensor_value_info(n, kinds.FLOAT, None) for n in outputs],
    )
    versions = [onnx.helper.make_opsetid("", 14)]
    model = onnx.helper.make_model(graph, opset_imports=versions, ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    wanted = session.run(None, given)
    name = "-".join([operator, direction, *options])
    _hold(name, node, {**options, "direction": direction}, given, wanted)
