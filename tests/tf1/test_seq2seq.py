"""The old sequence-to-sequence names give what Addons' were recorded to give.

Values and gradients, with the recorded weights; so does the float64 source.
"""

import json

import unrolled
from unrolled.tf1 import seq2seq

import jax
import keras
import numpy as np
import pytest
from autograd import make_vjp
from autograd import numpy as anp
from jax import numpy as jnp

from ..reference import max_relative
from ..sources import seq2seq as source
from .test_recorded_drivers import RECORDED as DRIVERS

RECORDED = DRIVERS.parent / "addons_seq2seq"
FILES = sorted(RECORDED.glob("*.npz"))
# Each other one differs from these by an option that has a test of its own.
QUICK = {
    "basic_attention",
    "basic_attention_imputed",
    "basic_embedding_always",
    "basic_output_beside",
    "basic_custom",
    "beam_few",
    "beam_coverage_two",
}
LIMITS = {"float64": 1e-11, "float32": 2e-5}
B, T, E, U, V, S = 3, 4, 3, 4, 6, 5
LENGTHS, MEMORY_LENGTHS = np.array([4, 2, 3]), np.array([5, 2, 4])
START, END = np.array([1, 3, 0]), 2
NONE = np.array([[True] * S, [False] * S, [True, False, True, False, True]])


# --- ours, under the names of the recorder ---


def hardmax(given, weights):
    del weights
    return seq2seq.hardmax(jnp.round(given["logits"]))


def cumprod(given, weights, **options):
    del weights
    return seq2seq.safe_cumprod(given["x"], **options)


def monotonic(given, weights, mode):
    del weights
    choose, before = given["choose"], given["before"]
    if mode == "hard":
        choose = jnp.round(choose)
        before = jax.nn.one_hot(jnp.array([0, 2, 1]), S, dtype=before.dtype)
    return seq2seq.monotonic_attention(choose, before, mode)


def loss(given, weights, form="ids", **flags):
    del weights
    there = np.ones((B, T))
    there[2], there[:, 3] = 0.0, 0.0
    counts = given["weights"] * there
    targets = np.array([[1, 2, 0, 5], [3, 3, 1, 0], [4, 2, 0, 0]])
    if form == "probabilities":
        targets = jax.nn.softmax(given["targets"])
    if form == "function":
        flags["softmax_loss_function"] = lambda labels, logits: jnp.sum(
            jax.nn.one_hot(labels, V, dtype=logits.dtype) * logits**2, -1
        )
    return seq2seq.sequence_loss(given["logits"], targets, counts, **flags)


def tiled(given, weights):
    del weights
    return seq2seq.tile_batch((given["a"], [given["b"]]), 2)


def tree(given, weights):
    del given, weights
    ids, parents, _ = source.tree({}, {})
    return ids, parents, seq2seq.gather_tree(ids, parents, [4, 2, 9], END)


def _memory(mechanism, memory, mask, copies):
    many = lambda a: None if a is None else seq2seq.tile_batch(a, copies)  # noqa: E731
    mechanism.setup_memory(
        many(memory),
        many(jnp.asarray(MEMORY_LENGTHS)) if mask == "lengths" else None,
        many(jnp.asarray(NONE)) if mask == "none" else None,
    )


class Parts:
    """Cell, mechanisms and output layer, with the recorded weights by their keys."""

    def __init__(self, given, weights, attention, wrapper, dtype, copies=1):
        self.cell = unrolled.LSTMCell(U, dtype=dtype)
        self.asked, self.copies = attention or [], copies
        self.state = [given["h"], given["c"]]
        self.mechanisms = []
        for kind, units, options in self.asked:
            options = {k: v for k, v in options.items() if k != "mask"}
            self.mechanisms.append(
                getattr(seq2seq, kind)(units, dtype=dtype, **options)
            )
        if attention:
            several = len(attention) > 1
            self.set_up(given["memory"])
            self.wrapper = seq2seq.AttentionWrapper(
                self.cell,
                self.mechanisms if several else self.mechanisms[0],
                dtype=dtype,
                **(wrapper or {}),
            )
        whole = self.wrapper if attention else self.cell
        whole.build((None, E))
        self.whole = whole
        units = weights["dense/bias"].shape[0]
        self.dense = keras.layers.Dense(units, dtype=dtype)
        self.dense.build((None, weights["dense/kernel"].shape[0]))
        self.variables = {key: self.variable(key) for key in weights}
        for key, variable in self.variables.items():
            variable.assign(weights[key])

    def set_up(self, memory):
        pairs = zip(self.mechanisms, self.asked, strict=True)
        for mechanism, (*_, options) in pairs:
            _memory(mechanism, memory, options.get("mask"), self.copies)

    def variable(self, key):
        *scope, place, name = key.split("/")
        if place == "dense":
            return getattr(self.dense, name)
        if place == "cell":
            return next(v for v in self.cell.weights if v.name == name)
        if place.startswith(("attention_layer", "layer_")):
            at = int(place[-1]) if place.startswith("layer_") else 0
            return self.wrapper.attention_layers[at].kernel
        place, layer = (scope[0], place) if place == "memory_layer" else (place, None)
        inner = self.mechanisms[int(place[-1])].inner
        if layer:
            return inner.memory_layer.kernel
        return inner.query_layer.kernel if name == "kernel" else getattr(inner, name)

    def begin(self, given):
        """The cell to run, and the state to begin with."""
        state = seq2seq.tile_batch([given["h"], given["c"]], self.copies)
        if not self.mechanisms:
            return self.cell, state
        self.set_up(given["memory"])
        fresh = self.wrapper.get_initial_state(
            batch_size=B * self.copies, dtype=given["h"].dtype
        )
        return self.wrapper, fresh.clone(cell_state=state)


def _returned(found):
    outputs, state, lengths = found
    if isinstance(state, seq2seq.AttentionWrapperState):
        is_written = lambda a: isinstance(a, seq2seq.TensorArray)  # noqa: E731
        history = [
            each.stack() if is_written(each) else each
            for each in jax.tree.leaves(state.alignment_history, is_leaf=is_written)
        ]
        state = [state.cell_state, state.attention, state.alignments, history]
    return [list(outputs), state, lengths]


# Options that `Parts` reads, and those of the recorder alone.
APART = ("attention", "wrapper", "units", "scale", "end")


def basic(given, parts, sampler, dtype="float64", **options):
    options = {k: v for k, v in options.items() if k not in APART}
    cell, state = parts.begin(given)
    made, inputs, told = _SAMPLERS[sampler](given)
    if sampler == "custom":  # compiled, it needs a bound
        options["maximum_iterations"] = T
    decoder = seq2seq.BasicDecoder(cell, made, parts.dense, dtype=dtype, **options)
    return _returned(decoder(inputs, initial_state=state, **told))


def _training(given):
    return seq2seq.TrainingSampler(), given["x"], {"sequence_length": LENGTHS}


def _masked(given):
    mask = np.arange(T) < LENGTHS[:, None]
    return seq2seq.TrainingSampler(), given["x"], {"mask": mask}


def _greedy(given):
    told = {"start_tokens": START, "end_token": END}
    return seq2seq.GreedyEmbeddingSampler(), given["table"], told


def _sampled(given):
    _, table, told = _greedy(given)
    sampler = seq2seq.SampleEmbeddingSampler(softmax_temperature=1e-3, seed=1)
    return sampler, table, told


def _embedding(probability):
    def make(given):
        sampler = seq2seq.ScheduledEmbeddingTrainingSampler(probability, seed=1)
        told = {"sequence_length": LENGTHS, "embedding": given["table"]}
        return sampler, given["x"], told

    return make


def _output(probability, beside=False):
    def make(given):
        sampler = seq2seq.ScheduledOutputTrainingSampler(
            probability,
            seed=1,
            next_inputs_fn=(lambda y: jnp.tanh(y[:, : E - 1])) if beside else None,
        )
        told, x = {"sequence_length": LENGTHS}, given["x"]
        if beside:
            told["auxiliary_inputs"], x = given["beside"], x[:, :, : E - 1]
        return sampler, x, told

    return make


def _inference(given):
    sampler = seq2seq.InferenceSampler(
        sample_fn=lambda outputs: outputs,
        sample_shape=[E],
        sample_dtype="float64",
        end_fn=lambda ids: ids[:, 0] > 0.6,
        next_inputs_fn=lambda ids: 0.5 * ids,
    )
    return sampler, given["x"][:, 0], {}


def _custom(given):
    x = given["x"]
    sampler = seq2seq.CustomSampler(
        initialize_fn=lambda inputs: (jnp.zeros(B, bool), inputs[:, -1]),
        sample_fn=lambda time, outputs, state: jnp.argmin(outputs, -1),
        next_inputs_fn=lambda time, outputs, state, sample_ids: (
            jnp.full(B, time >= 2) | (sample_ids == 0),
            x[:, T - 2 - jnp.minimum(time, T - 2)],
            [state[0], 0.5 * state[1]],
        ),
    )
    return sampler, x, {}


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


def beam(given, parts, width, dtype="float64", symbols=V, **options):
    options = {k: v for k, v in options.items() if k not in APART}
    cell, state = parts.begin(given)
    decoder = seq2seq.BeamSearchDecoder(
        cell, width, output_layer=parts.dense, dtype=dtype, **options
    )
    outputs, state, lengths = decoder(
        given["table"],
        start_tokens=START % symbols,
        end_token=END,
        initial_state=state,
    )
    found = _returned((outputs, state.cell_state, lengths))
    rest = [state.log_probs, state.finished, state.lengths]
    return [found, rest, state.accumulated_attention_probs]


CALLS = {
    each.__name__: each
    for each in (hardmax, cumprod, monotonic, loss, tiled, tree, basic, beam)
}


# --- beside the recordings ---


class Recording:
    """What one file holds."""

    def __init__(self, file):
        with np.load(file) as arrays:
            self.arrays = dict(arrays)
        about = json.loads(str(self.arrays["about"]))
        self.call, self.options = about["call"], about["options"]
        self.given, self.weights, self.grads = map(self._of, ("given", "weight", "d"))
        self.returned = list(self._of("returned").values())
        self.cotangents = list(self._of("cotangent").values())
        kinds = {a.dtype.name for a in self.given.values()}
        # A length's power is in float32 there, whatever all else is in.
        coarse = kinds == {"float32"} or "length_penalty_weight" in self.options
        self.limit = LIMITS["float32" if coarse else "float64"]

    def _of(self, kind):
        found = {
            key.removeprefix(kind + "/"): array
            for key, array in self.arrays.items()
            if key.startswith(kind + "/")
        }
        return dict(sorted(found.items(), key=lambda pair: _place(pair[0])))

    def hold(self, label, ours, theirs):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        assert ours.shape == theirs.shape, label
        if theirs.dtype.kind != "f":
            np.testing.assert_array_equal(ours, theirs, label)
            return
        # What nothing leads to has no number, or the lowest there is.
        usual = np.abs(theirs) < 1e30
        np.testing.assert_array_equal(ours[~usual], theirs[~usual], label)
        error = max_relative(ours[usual], theirs[usual])
        assert error <= self.limit, f"{label} off by {error:.3g}"


def _room(taken, whole):
    return [(0, n - m) for n, m in zip(whole, taken, strict=True)]


def _place(key):
    return (0, int(key), "") if key.isdigit() else (1, 0, key)


def _case(file):
    held = file.stem in QUICK or not file.stem.startswith(("basic", "beam"))
    return pytest.param(file, id=file.stem, marks=[] if held else [pytest.mark.parity])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_source_gives_what_was_recorded(file):
    kept = Recording(file)
    run = getattr(source, kept.call)
    moved = {**kept.given, **kept.weights}

    def floats(moved):
        given = {key: moved[key] for key in kept.given}
        found = run(given, {key: moved[key] for key in kept.weights}, **kept.options)
        for n, (ours, theirs) in enumerate(zip(found, kept.returned, strict=True)):
            if theirs.dtype.kind != "f":
                kept.hold(f"returned {n}", ours, theirs)
        pairs = zip(found, kept.returned, strict=True)
        return [ours for ours, theirs in pairs if theirs.dtype.kind == "f"]

    theirs = [each for each in kept.returned if each.dtype.kind == "f"]
    for n, (ours, their) in enumerate(zip(floats(moved), theirs, strict=True)):
        kept.hold(f"returned {n}", ours, their)
    if not kept.grads:
        return

    def total(moved):
        pairs = zip(floats(moved), kept.cotangents, strict=True)
        return sum(anp.sum(ours * given) for ours, given in pairs)

    pull, _ = make_vjp(total)({key: np.float64(a) for key, a in moved.items()})
    found = pull(1.0)
    for key, theirs in kept.grads.items():
        kept.hold(f"d {key}", found[key], theirs)


@pytest.mark.keras_ranks
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("file", [_case(file) for file in FILES])
def test_what_addons_gave(file):
    kept = Recording(file)
    run, options = CALLS[kept.call], kept.options
    parts = None
    if kept.weights:
        shared = ("attention", "wrapper")
        dtype = options.get("dtype", "float64")
        parts = Parts(
            kept.given,
            kept.weights,
            *(options.get(key) for key in shared),
            dtype,
            options.get("width", 1),
        )

    def returned(given, weights):
        given = {key: jnp.asarray(a) for key, a in given.items()}
        pairs = [(parts.variables[key], weights[key]) for key in weights]
        with keras.StatelessScope(state_mapping=pairs):
            return jax.tree.leaves(run(given, parts, **options))

    if not kept.cotangents:
        found = returned(kept.given, kept.weights)
        for n, (ours, theirs) in enumerate(zip(found, kept.returned, strict=True)):
            kept.hold(f"returned {n}", ours, theirs)
        return
    floating = [n for n, a in enumerate(kept.returned) if a.dtype.kind == "f"]

    @jax.jit
    def both(given, weights, cotangents):
        def floats(*args):
            found = returned(*args)
            return [found[n] for n in floating], found

        out, pull, found = jax.vjp(floats, given, weights, has_aux=True)
        # Compiled there is room for steps that were not taken.
        whole = [
            jnp.pad(c, _room(c.shape, o.shape)) if c.ndim else c
            for o, c in zip(out, cotangents, strict=True)
        ]
        return found, pull(whole)

    found, (d_given, d_weights) = both(kept.given, kept.weights, kept.cotangents)
    for n, (ours, theirs) in enumerate(zip(found, kept.returned, strict=True)):
        taken = tuple(map(slice, theirs.shape))
        kept.hold(f"returned {n}", np.asarray(ours)[taken], theirs)
    for key, theirs in kept.grads.items():
        kept.hold(f"d {key}", {**d_given, **d_weights}[key], theirs)
