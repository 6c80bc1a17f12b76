"""The sequence-to-sequence names of TensorFlow Addons: into `recorded/addons_seq2seq`.

Functions and losses, decoders with every sampler that leaves nothing to chance, beam
search. `tests/tf1/test_seq2seq.py` calls ours by the same name with what was given.
"""

import inspect
import json
import os
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_addons import options as settings
from tensorflow_addons import seq2seq

# Its own form in Python: the compiled one does not load everywhere.
settings.disable_custom_kernel()
HERE = Path(__file__).resolve().parent
OUT = Path(os.environ.get("RECORDED", HERE.parent / "sources" / "recorded"))
B, T, E, U, V, S, M, A = 3, 4, 3, 4, 6, 5, 3, 5
LENGTHS, MEMORY_LENGTHS = [4, 2, 3], [5, 2, 4]
START, END = [1, 3, 0], 2


def write(name, run, options=None, dtype="float64", pulled=True):
    """Write `<name>.npz`: given, weights, returned, gradients of a random sum.

    Args:
        name: of the recording.
        run: ``(draw, weight, **options) -> (returned, moved)``: `draw(key, *shape)`
            gives numbers, and `weight(key, variable)` random ones to a variable;
            `moved` are the keys of what gradients are taken of.
        options: plain numbers and words.
        dtype: of all.
        pulled: whether gradients are taken.
    """
    options = options or {}
    rng = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
    got, found, variables = {}, {}, {}

    def draw(key, *shape, low=None):
        value = rng.normal(size=shape) if low is None else rng.uniform(low, 1, shape)
        found[key] = tf.constant(value, dtype)
        got["given/" + key] = found[key]
        tape.watch(found[key])
        return found[key]

    def weight(key, variable, scale=0.5):
        variable.assign(tf.constant(scale * rng.normal(size=variable.shape), dtype))
        found[key] = variables[key] = variable
        return variable

    with tf.GradientTape(persistent=True) as tape:
        returned = run(draw, weight, **options)
        returned = [tf.convert_to_tensor(r) for r in tf.nest.flatten(returned)]
        floating = [r for r in returned if r.dtype.is_floating]
        cotangents = [tf.constant(rng.normal(size=r.shape), dtype) for r in floating]
        pairs = zip(floating, cotangents, strict=True)
        loss = tf.add_n([tf.reduce_sum(f * c) for f, c in pairs] or [0.0])
    for n, value in enumerate(returned):
        got[f"returned/{n}"] = value
    for key, variable in variables.items():
        got["weight/" + key] = variable
    if pulled:
        for n, cotangent in enumerate(cotangents):
            got[f"cotangent/{n}"] = cotangent
        for key, value in found.items():
            grad = tape.gradient(loss, value)
            if grad is not None:
                got["d/" + key] = tf.convert_to_tensor(grad)
    got = {key: np.asarray(value) for key, value in got.items()}
    about = {"call": run.__name__, "options": options}
    got["about"] = np.array(json.dumps(about))
    folder = OUT / "addons_seq2seq"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / f"{name}.npz", **got)
    print(name, "recorded")


# --- functions ---


def hardmax(draw, weight):
    """Equal numbers, too."""
    del weight
    return seq2seq.hardmax(tf.round(draw("logits", B, V)))


def cumprod(draw, weight, **options):
    """Of probabilities; some are 0."""
    del weight
    x = draw("x", B, S, low=-0.2)
    return seq2seq.safe_cumprod(x, **options)


def monotonic(draw, weight, mode):
    """Of probabilities; in mode "hard" of choices."""
    del weight
    choose, before = draw("choose", B, S, low=0.0), draw("before", B, S, low=0.0)
    if mode == "hard":
        choose = tf.round(choose)
        before = tf.one_hot([0, 2, 1], S, dtype=before.dtype)
    return seq2seq.monotonic_attention(choose, before, mode)


def loss(draw, weight, form="ids", **flags):
    """One row and one step without weight."""
    del weight
    logits, weights = draw("logits", B, T, V), draw("weights", B, T, low=0.1)
    there = np.ones((B, T))
    there[2], there[:, 3] = 0.0, 0.0
    weights = weights * tf.constant(there, weights.dtype)
    targets = tf.constant([[1, 2, 0, 5], [3, 3, 1, 0], [4, 2, 0, 0]])
    if form == "probabilities":
        targets = tf.nn.softmax(draw("targets", B, T, V))
    if form == "function":
        flags["softmax_loss_function"] = lambda labels, logits: tf.reduce_sum(
            tf.one_hot(labels, V, dtype=logits.dtype) * tf.square(logits), -1
        )
    return seq2seq.sequence_loss(logits, targets, weights, **flags)


def tiled(draw, weight):
    """A tree."""
    del weight
    return seq2seq.tile_batch((draw("a", B, 2), [draw("b", B)]), 2)


def tree(draw, weight):
    """Beams that cross, lengths that differ, end tokens early."""
    del draw, weight
    rng = np.random.RandomState(0)
    ids = rng.randint(V, size=(T, B, 3)).astype("int32")
    parents = rng.randint(3, size=(T, B, 3)).astype("int32")
    lengths = np.array([4, 2, 9], "int32")
    return [ids, parents, seq2seq.gather_tree(ids, parents, lengths, END)]


# --- decoders ---


def _cell(draw, weight, dtype, attention=None, copies=1, **options):
    """An LSTM with its state, inside an attention wrapper if there are mechanisms."""
    cell = tf.keras.layers.LSTMCell(U, dtype=dtype)
    state = [draw("h", B, U), draw("c", B, U)]
    state = seq2seq.tile_batch(state, copies)
    if attention is None:
        cell.build((B, E))
        _weigh(weight, cell, "own/cell/")
        return cell, state
    memory = draw("memory", B, S, M)
    mechanisms = []
    for n, (kind, units, given) in enumerate(attention):
        given = dict(given)
        mask = given.pop("mask", None)
        made = getattr(seq2seq, kind)(units, dtype=dtype, **given)
        tiled_memory = seq2seq.tile_batch(memory, copies)
        if mask == "lengths":
            lengths = seq2seq.tile_batch(tf.constant(MEMORY_LENGTHS), copies)
            made.setup_memory(tiled_memory, lengths)
        elif mask == "none":  # of the second row nothing counts
            counts = tf.constant([[True] * S, [False] * S, [True, False] * 2 + [True]])
            made.setup_memory(tiled_memory, None, seq2seq.tile_batch(counts, copies))
        else:
            made.setup_memory(tiled_memory)
        _weigh(weight, made.memory_layer, f"mechanism_{n}/memory_layer/")
        made.setup_memory(*_again(made, tiled_memory, mask, copies))
        mechanisms.append(made)
    several = len(mechanisms) > 1
    wrapper = seq2seq.AttentionWrapper(
        cell, mechanisms if several else mechanisms[0], dtype=dtype, **options
    )
    rows = B * copies
    fresh = wrapper.get_initial_state(batch_size=rows, dtype=dtype)
    wrapper(tf.zeros([rows, E], dtype), fresh)  # makes the weights
    _weigh(weight, cell, "own/cell/")
    for n, made in enumerate(mechanisms):
        if made.query_layer is not None:
            _weigh(weight, made.query_layer, f"own/mechanism_{n}/")
        for key in ("attention_v", "attention_g", "attention_b"):
            if getattr(made, key, None) is not None:
                weight(f"own/mechanism_{n}/{key}", getattr(made, key))
        if getattr(made, "scale_weight", None) is not None:
            weight(f"own/mechanism_{n}/attention_g", made.scale_weight)
        if getattr(made, "attention_score_bias", None) is not None:
            bias = made.attention_score_bias
            weight(f"own/mechanism_{n}/attention_score_bias", bias)
    for n, layer in enumerate(wrapper._attention_layers or []):
        name = "layer_" + str(n) if several else "attention_layer"
        _weigh(weight, layer, f"own/{name}/")
    # Made anew: a `TensorArray` that was written to stays so.
    fresh = wrapper.get_initial_state(batch_size=rows, dtype=dtype)
    return wrapper, fresh.clone(cell_state=state)


def _again(made, memory, mask, copies):
    """The memory as it was set up, now that the layer has other weights."""
    del made
    if mask == "lengths":
        lengths = tf.constant(MEMORY_LENGTHS)
        return memory, seq2seq.tile_batch(lengths, copies)
    if mask == "none":
        counts = tf.constant([[True] * S, [False] * S, [True, False] * 2 + [True]])
        return memory, None, seq2seq.tile_batch(counts, copies)
    return (memory,)


def _weigh(weight, layer, scope, scale=0.5):
    for variable in layer.weights:
        key = variable.name.partition(":")[0].split("/")[-1]
        weight(scope + key, variable, scale)


def _dense(weight, width, dtype, units=V, scale=1.0):
    layer = tf.keras.layers.Dense(units, dtype=dtype)
    layer.build((None, width))
    _weigh(weight, layer, "dense/", scale)
    return layer


def _returned(found):
    """What was given back, histories as arrays; attention states are the alignments."""
    outputs, state, lengths = found
    if isinstance(state, seq2seq.AttentionWrapperState):
        history = [
            each.stack() if isinstance(each, tf.TensorArray) else each
            for each in tf.nest.flatten(state.alignment_history)
        ]
        state = [state.cell_state, state.attention, state.alignments, history]
    return [list(outputs), state, lengths]


def basic(
    draw, weight, sampler, attention=None, wrapper=None, dtype="float64", **given
):
    """`BasicDecoder` with one of the samplers."""
    given = dict(given)
    cell, state = _cell(draw, weight, dtype, attention, **(wrapper or {}))
    x = draw("x", B, T, E)
    table = draw("table", V, E)
    units, scale = given.pop("units", V), given.pop("scale", 1.0)
    dense = _dense(weight, cell.output_size, dtype, units, scale)
    sampler, told = _SAMPLERS[sampler](draw, x, table)
    decoder = seq2seq.BasicDecoder(cell, sampler, dense, dtype=dtype, **given)
    inputs, named = told
    return _returned(decoder(inputs, initial_state=state, **named))


_LENGTHS = {"sequence_length": LENGTHS}


def _training(draw, x, table):
    del draw, table
    return seq2seq.TrainingSampler(), (x, _LENGTHS)


def _masked(draw, x, table):
    del draw, table
    mask = tf.sequence_mask(LENGTHS, T)
    return seq2seq.TrainingSampler(), (x, {"mask": mask})


def _greedy(draw, x, table):
    del draw, x
    told = {"start_tokens": START, "end_token": END}
    return seq2seq.GreedyEmbeddingSampler(), (table, told)


def _sampled(draw, x, table):
    del draw, x
    told = {"start_tokens": START, "end_token": END}
    sampler = seq2seq.SampleEmbeddingSampler(softmax_temperature=1e-3)
    return sampler, (table, told)


def _embedding(probability):
    def make(draw, x, table):
        del draw
        sampler = seq2seq.ScheduledEmbeddingTrainingSampler(
            tf.constant(probability, x.dtype)
        )
        return sampler, (x, {**_LENGTHS, "embedding": table})

    return make


def _output(probability, beside=False):
    def make(draw, x, table):
        del table
        sampler = seq2seq.ScheduledOutputTrainingSampler(
            tf.constant(probability, x.dtype),
            next_inputs_fn=(lambda y: tf.tanh(y[:, : E - 1])) if beside else None,
        )
        told = dict(_LENGTHS)
        if beside:
            told["auxiliary_inputs"] = draw("beside", B, T, 1)
            x = x[:, :, : E - 1]
        return sampler, (x, told)

    return make


def _inference(draw, x, table):
    del draw, table
    sampler = seq2seq.InferenceSampler(
        sample_fn=lambda outputs: outputs,
        sample_shape=[E],
        sample_dtype=x.dtype,
        end_fn=lambda ids: ids[:, 0] > 0.6,
        next_inputs_fn=lambda ids: 0.5 * ids,
    )
    return sampler, (x[:, 0], {})


def _custom(draw, x, table):
    """Reads its inputs backwards in time, and chooses the least likely id."""
    del draw, table
    sampler = seq2seq.CustomSampler(
        initialize_fn=lambda inputs: (tf.zeros([B], bool), inputs[:, -1]),
        sample_fn=lambda time, outputs, state: tf.argmin(
            outputs, -1, output_type=tf.int32
        ),
        next_inputs_fn=lambda time, outputs, state, sample_ids: (
            tf.fill([B], time >= 2) | (sample_ids == 0),
            x[:, T - 2 - tf.minimum(time, T - 2)],
            [tf.identity(state[0]), 0.5 * state[1]],
        ),
    )
    return sampler, (x, {})


_SAMPLERS = {
    "training": _training,
    "masked": _masked,
    "greedy": _greedy,
    "sampled": _sampled,
    "embedding_never": _embedding(0.0),
    "embedding_always": _embedding(1.0),
    "output_never": _output(0.0),
    "output_always": _output(1.0),
    "output_beside": _output(1.0, beside=True),
    "inference": _inference,
    "custom": _custom,
}


def beam(
    draw,
    weight,
    width,
    attention=None,
    wrapper=None,
    dtype="float64",
    end=0.0,
    symbols=V,
    **given,
):
    """`BeamSearchDecoder`; `end` is added to the logit of the end token."""
    wrapper = wrapper or {}
    cell, state = _cell(draw, weight, dtype, attention, copies=width, **wrapper)
    table = draw("table", symbols, E)
    dense = _dense(weight, cell.output_size, dtype, symbols)
    bias = dense.bias.numpy()
    bias[END] += end
    dense.bias.assign(bias)
    decoder = seq2seq.BeamSearchDecoder(
        cell, width, output_layer=dense, dtype=dtype, **given
    )
    start = [each % symbols for each in START]
    outputs, state, lengths = decoder(
        table, start_tokens=start, end_token=END, initial_state=state
    )
    found = _returned((outputs, state.cell_state, lengths))
    rest = [state.log_probs, state.finished, state.lengths]
    return [found, rest, state.accumulated_attention_probs]


FLAGS = inspect.getfullargspec(seq2seq.sequence_loss).args[3:7]


def record(case):
    """All of them."""
    del case
    write("hardmax", hardmax)
    for n, options in enumerate(
        ({}, {"axis": 1}, {"axis": 1, "exclusive": True}, {"axis": 1, "reverse": True})
    ):
        write(f"cumprod_{n}", cumprod, options)
    for mode in ("parallel", "hard"):
        write(f"monotonic_{mode}", monotonic, {"mode": mode})
    # Addons' own works in float32 alone.
    write("monotonic_recursive", monotonic, {"mode": "recursive"}, "float32")
    for code in ("tt--", "t---", "-t--", "----", "--tt", "--t-", "---t"):
        flags = {name: c == "t" for name, c in zip(FLAGS, code, strict=True)}
        write(f"loss_{code}", loss, flags)
    write("loss_probabilities", loss, {"form": "probabilities"})
    write("loss_function", loss, {"form": "function"})
    write("tiled", tiled)
    write("tree", tree, pulled=False)

    bahdanau = ["BahdanauAttention", 3, {"normalize": True, "mask": "lengths"}]
    luong = ["LuongAttention", U, {"scale": True, "mask": "lengths"}]
    hard = ["LuongAttention", U, {"probability_fn": "hardmax", "mask": "lengths"}]
    none = ["BahdanauAttention", 3, {"mask": "none"}]
    moves = {"score_bias_init": -0.5}
    forwards = ["BahdanauMonotonicAttention", 3, {"normalize": True, **moves}]
    times = ["LuongMonotonicAttention", U, {"mode": "hard", "scale": True}]
    sized = {"attention_layer_size": A, "alignment_history": True}

    def decode(name, sampler, **options):
        write(f"basic_{name}", basic, {"sampler": sampler, **options})

    decode("training", "training")
    decode("training_imputed", "training", impute_finished=True)
    decode("training_major", "masked", output_time_major=True)
    decode("training_cut", "training", maximum_iterations=2)
    decode("attention", "training", attention=[bahdanau], wrapper=sized)
    decode("attention_imputed", "training", attention=[none], impute_finished=True)
    two = {"attention_layer_size": [A, 2], "output_attention": False}
    decode("attention_two", "training", attention=[luong, bahdanau], wrapper=two)
    decode("attention_hardmax", "training", attention=[hard])
    decode("attention_forwards", "training", attention=[forwards])
    decode("attention_hard", "training", attention=[times])
    decode("greedy", "greedy", maximum_iterations=6)
    decode("greedy_imputed", "greedy", maximum_iterations=6, impute_finished=True)
    decode(
        "greedy_attention",
        "greedy",
        attention=[bahdanau],
        wrapper=sized,
        maximum_iterations=5,
    )
    decode("sampled", "sampled", maximum_iterations=5)
    decode("embedding_never", "embedding_never")
    decode("embedding_always", "embedding_always", scale=300.0)
    decode("output_never", "output_never", units=E)
    decode("output_always", "output_always", units=E)
    decode("output_beside", "output_beside", units=E)
    decode("inference", "inference", units=E, maximum_iterations=7)
    decode("custom", "custom")

    def search(name, width, **options):
        kind = options.get("dtype", "float64")
        options = {"width": width, "maximum_iterations": 6, **options}
        write(f"beam_{name}", beam, options, kind, pulled=False)

    search("one", 1)
    search("three", 3)
    search("length", 3, length_penalty_weight=0.7, end=1.0)
    search("early", 3, end=4.0, maximum_iterations=None, length_penalty_weight=1.0)
    search("few", 5, symbols=3, maximum_iterations=3)
    search("all_scores", 2, output_all_scores=True, output_time_major=True)
    search("attention", 3, attention=[bahdanau], wrapper=sized, end=1.0)
    one = {"dtype": "float32", "coverage_penalty_weight": 0.6, "end": 1.5}
    search("coverage", 3, attention=[bahdanau], length_penalty_weight=0.5, **one)
    loose = {"output_attention": False, "alignment_history": True}
    search(
        "coverage_two",
        2,
        attention=[luong, bahdanau],
        wrapper=loose,
        reorder_tensor_arrays=False,
        **one,
    )
