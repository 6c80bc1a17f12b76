"""The old sequence-to-sequence names in use: both forms, one's own parts, mistakes."""

from collections import OrderedDict

import unrolled
from unrolled import tf1
from unrolled.engine import eager
from unrolled.tf1 import seq2seq

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..reference import max_relative

B, T, E, U, V, S, M = 2, 3, 2, 3, 5, 4, 2
RNG = np.random.default_rng(5)


def _draw(*shape):
    return RNG.normal(size=shape).astype("float32")


X, MEMORY, TABLE, H = _draw(B, T, E), _draw(B, S, M), _draw(V, E), _draw(B, U)
LENGTHS, START, END = np.array([3, 2]), np.array([1, 3]), 2

pytestmark = pytest.mark.keras_ranks


@pytest.fixture
def dense():
    layer = keras.layers.Dense(V)
    layer.build((None, U))
    return layer


def _same(ours, theirs):
    ours, theirs = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, two)


# --- both forms ---


def test_a_helper_is_a_sampler_that_holds_what_it_reads(dense):
    cell = tf1.GRUCell(U)
    helper = seq2seq.TrainingHelper(X, LENGTHS)
    old = seq2seq.BasicDecoder(cell, helper, H, dense)
    sampler = seq2seq.TrainingSampler()
    new = seq2seq.BasicDecoder(cell, sampler, output_layer=dense)
    found = seq2seq.dynamic_decode(old)
    _same(found, new(X, initial_state=H, sequence_length=LENGTHS))
    # The mask of Keras says as much.
    padded = np.where(np.arange(T)[:, None] < LENGTHS[:, None, None], X, 0.0)
    masked = keras.layers.Masking()(padded.astype("float32"))
    by_mask = new(masked, initial_state=H)
    _same(new(padded, initial_state=H, sequence_length=LENGTHS), by_mask)
    assert getattr(by_mask[0].rnn_output, "_keras_mask", None) is None
    outputs, state = tf1.dynamic_rnn(cell, X, LENGTHS, H)
    imputed = seq2seq.dynamic_decode(old, impute_finished=True)
    assert max_relative(imputed[1], state) < 1e-6
    whole = np.array(dense(outputs))
    whole[1, 2] = 0.0
    assert max_relative(imputed[0].rnn_output, whole) < 1e-6


def test_beam_search_in_both_forms_and_by_name(dense):
    cell = tf1.BasicLSTMCell(U)
    state = tf1.LSTMStateTuple(*seq2seq.tile_batch((H, 2 * H), 2))
    given = [cell, TABLE, START, END, state, 2, dense, 0.5]
    old = seq2seq.BeamSearchDecoder(*given)
    names = ("cell", "embedding", "start_tokens", "end_token", "initial_state")
    names += ("beam_width", "output_layer", "length_penalty_weight")
    named = seq2seq.BeamSearchDecoder(**dict(zip(names, given, strict=True)))
    new = seq2seq.BeamSearchDecoder(
        cell,
        2,
        output_layer=dense,
        length_penalty_weight=0.5,
        maximum_iterations=4,
    )
    found = seq2seq.dynamic_decode(old, maximum_iterations=4)
    _same(found, seq2seq.dynamic_decode(named, maximum_iterations=4))
    told = {"start_tokens": START, "end_token": END, "initial_state": state}
    _same(found, new(TABLE, **told))
    assert isinstance(found[1].cell_state, tf1.LSTMStateTuple)


def test_num_units_is_units_and_a_query_may_come_as_two_arguments():
    one = seq2seq.LuongAttention(num_units=U, memory=MEMORY)
    asked = one([H, jnp.zeros((B, S))])
    _same(asked, one(H, jnp.zeros((B, S))))
    assert np.allclose(asked[0].sum(-1), 1.0)


# --- the loop ---


def test_a_second_call_compiles_nothing(dense, monkeypatch):
    monkeypatch.setattr(eager, "_PROGRAMS", OrderedDict())
    traces = []

    class Counted(seq2seq.GreedyEmbeddingSampler):
        def sample(self, time, outputs, state):
            traces.append(time)
            return super().sample(time, outputs, state)

    decoder = seq2seq.BasicDecoder(
        unrolled.GRUCell(U), Counted(), dense, maximum_iterations=4
    )
    told = {"start_tokens": START, "end_token": END}
    decoder(TABLE, initial_state=H, **told)
    programs, first = list(eager._PROGRAMS.values()), len(traces)
    assert len(programs) == 1
    decoder(2 * TABLE, initial_state=-H, **told)
    assert list(eager._PROGRAMS.values()) == programs
    assert len(traces) == 2 * first <= 8


def test_it_gives_as_many_steps_as_were_taken(dense):
    # Whatever it reads, the end token is likeliest.
    dense.bias.assign(np.float32(100 * (np.arange(V) == END)))
    cell, sampler = unrolled.GRUCell(U), seq2seq.GreedyEmbeddingSampler()
    decoder = seq2seq.BasicDecoder(cell, sampler, dense)
    told = {"start_tokens": START, "end_token": END, "initial_state": H}
    outputs, _, lengths = decoder(TABLE, **told)
    assert outputs.rnn_output.shape == (B, 1, V)
    assert lengths.tolist() == [1, 1]
    # Compiled there is room for all.
    decoder.maximum_iterations = 3
    padded = jax.jit(lambda: decoder(TABLE, **told)[0])()
    _same(padded.rnn_output[:, :1], outputs.rnn_output)
    assert not padded.rnn_output[:, 1:].any()


def test_gradients_without_jit_and_a_bound_where_there_is_none(dense):
    sampler = seq2seq.GreedyEmbeddingSampler()
    decoder = seq2seq.BasicDecoder(unrolled.GRUCell(U), sampler, dense)
    told = {"start_tokens": START, "end_token": END}

    def total(h):
        outputs, state, _ = decoder(TABLE, initial_state=h, **told)
        return jnp.sum(outputs.rnn_output) + jnp.sum(state)

    with pytest.raises(ValueError, match=r"maximum_iterations must be given where"):
        jax.grad(total)(H)
    decoder.maximum_iterations = 2
    found, by = jax.grad(total)(H), 1e-2
    move = _draw(B, U)
    slope = (total(H + by * move) - total(H - by * move)) / (2 * by)
    assert abs(slope - np.sum(found * move)) < 2e-3 * abs(slope) + 2e-3


def test_histories_of_single_steps_and_of_a_loop_are_alike():
    mechanism = seq2seq.BahdanauAttention(2, MEMORY, [4, 2])
    cell = seq2seq.AttentionWrapper(
        tf1.GRUCell(U), mechanism, 2, alignment_history=True
    )
    state = cell.zero_state(B, "float32")
    for step in range(T):
        _, state = cell(X[:, step], state)
    decoder = seq2seq.BasicDecoder(cell, seq2seq.TrainingSampler())
    outputs, after, _ = decoder(X, initial_state=cell.zero_state(B, "float32"))
    history = after.alignment_history.stack()
    assert history.shape == (T, B, S)
    assert max_relative(history, state.alignment_history.stack()) < 1e-5
    assert not history[:, 1, 2:].any()
    # What is there stays there.
    _, more, _ = decoder(X, initial_state=after)
    assert more.alignment_history.size() == 2 * T
    # Along time without a decoder, too.
    along, _ = tf1.dynamic_rnn(cell, X)
    assert max_relative(along, outputs.rnn_output) < 1e-5


# --- parts of one's own ---


def test_a_decoder_of_ones_own():
    class Counting(seq2seq.Decoder):
        def initialize(self, name=None):
            del name
            return jnp.array([False, False]), jnp.zeros(2), jnp.zeros((2, 1))

        def step(self, time, inputs, state, name=None):
            del name
            done = jnp.array([time >= 1, time >= 3])
            return inputs + 1.0, state + 2.0, inputs + 10.0, done

    outputs, state, lengths = seq2seq.dynamic_decode(Counting(), True, True)
    assert outputs.tolist() == [[1, 1], [11, 11], [0, 21], [0, 31]]
    assert state.tolist() == [[4], [8]]
    assert lengths.tolist() == [2, 4]


def test_a_mechanism_and_an_attention_function_of_ones_own():
    class Nearest(seq2seq.AttentionMechanism):
        def _calculate_attention(self, query, state):
            score = -((query[:, None, :M] - self.keys) ** 2).sum(-1)
            shares = self.probability_fn(score, state)
            return shares, shares + state

    def twice(mechanism, output, state, layer):
        del layer
        shares, after = mechanism([output, state])
        return jnp.concatenate([shares, shares], -1)[:, :M], shares, after

    mechanism = Nearest(MEMORY, memory_sequence_length=[4, 1])
    cell = seq2seq.AttentionWrapper(tf1.GRUCell(U), mechanism, attention_fn=twice)
    state = cell.zero_state(B, "float32")
    for step in range(2):
        output, state = cell(X[:, step], state)
    assert state.alignments[1].tolist() == [1, 0, 0, 0]
    assert state.attention_state[1].tolist() == [2, 0, 0, 0]
    _same(output, state.alignments[:, :M])


def test_noise_is_there_outside_training():
    given = {"memory": MEMORY, "sigmoid_noise": 1.0, "sigmoid_noise_seed": 3}
    mechanism = seq2seq.LuongMonotonicAttention(U, **given)
    state = mechanism.initial_state(B)
    first, second = (mechanism([H, state])[0] for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


def test_dropout_is_drawn_anew_and_off_outside_training():
    cell = tf1.DropoutWrapper(tf1.GRUCell(U), output_keep_prob=0.5, seed=1)
    decoder = seq2seq.BasicDecoder(cell, seq2seq.TrainingSampler())
    off = [np.asarray(decoder(X)[0].rnn_output) for _ in range(2)]
    on = [np.asarray(decoder(X, training=True)[0].rnn_output) for _ in range(2)]
    _same(*off)
    assert (on[0] == 0).any()
    assert (on[0] != on[1]).any()


def test_a_cell_that_names_training_is_told():
    class Told(tf1.RNNCell):
        state_size = output_size = E

        def call(self, inputs, state, training=None):
            return (2.0 if training else 1.0) * inputs, state

    for training, factor in ((True, 2), (False, 1)):
        outputs, _ = tf1.dynamic_rnn(Told(), X, training=training)
        _same(outputs, factor * X)


def test_scheduled_samplers_mix():
    rows = 200
    sampler = seq2seq.ScheduledOutputTrainingSampler(0.25, seed=4)
    x = np.broadcast_to(X[:1], (rows, T, E))
    sampler.initialize(x)
    ids = sampler.sample(jnp.int32(0), None, None)
    assert 25 < int(ids.sum()) < 75
    outputs = jnp.ones((rows, E))
    finished, following, _ = sampler.next_inputs(jnp.int32(0), outputs, None, ids)
    expected = np.where(np.asarray(ids)[:, None], 1.0, x[:, 1])
    np.testing.assert_array_equal(following, expected)
    assert not finished.any()
    other = sampler.sample(jnp.int32(1), None, None)
    assert (ids != other).any()
    again = seq2seq.ScheduledOutputTrainingSampler(0.25, seed=4)
    again.initialize(x)
    _same(ids, again.sample(jnp.int32(0), None, None))


class Translator(keras.Model):
    """An encoder, and a decoder that attends to it."""

    def __init__(self):
        super().__init__()
        self.embed = keras.layers.Embedding(V, E)
        self.encode = unrolled.GRU(U, return_sequences=True, return_state=True)
        self.mechanism = seq2seq.BahdanauAttention(U, np.zeros((1, S, U), "float32"))
        self.cell = seq2seq.AttentionWrapper(unrolled.GRUCell(U), self.mechanism, U)
        sampler, dense = seq2seq.TrainingSampler(), keras.layers.Dense(V)
        self.decoder = seq2seq.BasicDecoder(self.cell, sampler, dense)

    def call(self, both):
        memory, h = self.encode(self.embed(both["source"]))
        self.mechanism.setup_memory(memory)
        state = self.cell.get_initial_state(batch_size=len(h), dtype="float32")
        outputs, _, _ = self.decoder(
            self.embed(both["target"]), initial_state=state.clone(cell_state=[h])
        )
        return outputs.rnn_output


def test_a_translator_is_trained():
    source = np.array([[1, 2, 3, 4], [4, 3, 2, 1]])
    given, wanted = {"source": source, "target": source[:, :T]}, source[:, 1 : T + 1]
    model = Translator()
    model(given)  # makes the weights
    model.compile(keras.optimizers.Adam(0.05), unrolled.SequenceLoss())
    before = model.evaluate(given, wanted, verbose=0)
    model.fit(given, wanted, epochs=12, verbose=0)
    assert model.evaluate(given, wanted, verbose=0) < 0.8 * before
    assert len(model.trainable_variables) == 1 + 3 + 3 + 3 + 1 + 2


def test_a_decoder_is_a_layer_of_a_models_graph(dense):
    sampler = seq2seq.TrainingSampler()
    decoder = seq2seq.BasicDecoder(unrolled.GRUCell(U), sampler, dense)
    x, h = keras.Input((T, E)), keras.Input((U,))
    outputs, _, _ = decoder(x, initial_state=h)
    model = keras.Model([x, h], outputs.rnn_output)
    assert len(model.trainable_variables) == 3 + 2
    found = decoder(X, initial_state=H)[0].rnn_output
    assert max_relative(model.predict([X, H], verbose=0), found) < 1e-6


# --- mistakes ---


def _wrapper(**options):
    mechanism = seq2seq.LuongAttention(U, MEMORY)
    return seq2seq.AttentionWrapper(tf1.GRUCell(U), mechanism, **options)


def _beams(state, **options):
    decoder = seq2seq.BeamSearchDecoder(tf1.GRUCell(U), 2, **options)
    return decoder(TABLE, start_tokens=START, end_token=END, initial_state=state)


def _weighed(**flags):
    logits = np.zeros((1, 2, 3), "float32")
    return seq2seq.sequence_loss(logits, [[1, 2]], [[1.0, 1.0]], **flags)


def _basic(sampler, **options):
    return seq2seq.BasicDecoder(tf1.GRUCell(U), sampler, **options)


MISTAKES = {
    "units": lambda: seq2seq.LuongAttention(memory=MEMORY),
    "units must be given once": lambda: seq2seq.LuongAttention(3, num_units=3),
    "memory must have shape": lambda: seq2seq.LuongAttention(U, X[0]),
    "memory must be an array": lambda: seq2seq.LuongAttention(
        U, keras.KerasTensor((2, 3, 4))
    ),
    "memory_sequence_length must be positive": lambda: seq2seq.LuongAttention(
        U, MEMORY, [4, 0]
    ),
    "memory_sequence_length must have shape": lambda: seq2seq.LuongAttention(
        U, MEMORY, [4]
    ),
    "memory_mask says the same": lambda: seq2seq.LuongAttention(U).setup_memory(
        MEMORY, [4, 4], np.ones((B, S), bool)
    ),
    "attention_mechanism must have a memory": lambda: seq2seq.AttentionWrapper(
        tf1.GRUCell(U), seq2seq.LuongAttention(U)
    ).zero_state(B),
    "attention_mechanism must be a mechanism": lambda: seq2seq.AttentionWrapper(
        tf1.GRUCell(U), unrolled.LuongAttention(U)
    ),
    "attention_layer stands in place": lambda: _wrapper(
        attention_layer_size=3, attention_layer=keras.layers.Dense(3)
    ),
    "attention_layer_size must have one entry": lambda: _wrapper(
        attention_layer_size=[3, 4]
    ),
    "batch_size must be the rows of the memory, 2": lambda: _wrapper().zero_state(4),
    "cell_state must have shapes": lambda: (
        _wrapper().zero_state(B).clone(cell_state=seq2seq.tile_batch(H, 2))
    ),
    "multiplier": lambda: seq2seq.tile_batch(X, 0),
    "t must hold arrays": lambda: seq2seq.tile_batch([1, 2], 2),
    "parent_ids must be beams": lambda: seq2seq.gather_tree([[[0]]], [[[1]]], [1], END),
    "step_ids, parent_ids": lambda: seq2seq.gather_tree([[[0]]], [[[1, 0]]], [1], END),
    "max_sequence_lengths": lambda: seq2seq.gather_tree([[[0]]], [[[0]]], [1, 1], END),
    "average_across_timesteps and average_across_batch and sum_over_batch": (
        lambda: _weighed(sum_over_batch=True)
    ),
    "weights must be given": lambda: seq2seq.SequenceLoss()([[1]], np.zeros((1, 1, 3))),
    "weights must have shape": lambda: seq2seq.sequence_loss(
        np.zeros((1, 2, 3), "float32"), [[1, 2]], [1.0]
    ),
    "targets must have shape": lambda: seq2seq.sequence_loss(
        np.zeros((1, 2, 3), "float32"), [1], [[1.0, 1.0]]
    ),
    "logits must have shape": lambda: seq2seq.sequence_loss(
        np.zeros((2, 3), "float32"), [[1, 2]], [[1.0, 1.0]]
    ),
    "mode": lambda: seq2seq.monotonic_attention(X[0], X[0], "soft"),
    "sampler must be a Sampler": lambda: _basic(unrolled.sampler()),
    "output_layer must be a Keras layer": lambda: _basic(
        seq2seq.TrainingSampler(), output_layer=jnp.tanh
    ),
    "BasicDecoder takes": lambda: seq2seq.BasicDecoder(
        tf1.GRUCell(U), seq2seq.TrainingSampler(), None, None
    ),
    "inputs must have shape": lambda: _basic(seq2seq.TrainingSampler())(X[0, 0]),
    "sequence_length must be at most": lambda: _basic(seq2seq.TrainingSampler())(
        X, sequence_length=[3, 4]
    ),
    "sequence_length must have shape": lambda: _basic(seq2seq.TrainingSampler())(
        X, sequence_length=[3]
    ),
    "mask must be right padding": lambda: _basic(seq2seq.TrainingSampler())(
        X, mask=np.array([[True] * 3, [False, True, True]])
    ),
    "mask must be truth values": lambda: _basic(seq2seq.TrainingSampler())(
        X, mask=np.ones((B, T))
    ),
    "mask says the same": lambda: _basic(seq2seq.TrainingSampler())(
        X, mask=np.ones((B, T), bool), sequence_length=LENGTHS
    ),
    "embedding must be given": lambda: _basic(seq2seq.GreedyEmbeddingSampler())(
        None, start_tokens=START, end_token=END
    ),
    "start_tokens must have shape": lambda: _basic(seq2seq.GreedyEmbeddingSampler())(
        TABLE, start_tokens=1, end_token=END
    ),
    "end_token must be one id": lambda: _basic(seq2seq.GreedyEmbeddingSampler())(
        TABLE, start_tokens=START
    ),
    "softmax_temperature": lambda: seq2seq.SampleEmbeddingSampler(
        softmax_temperature=0.0
    ),
    "sampling_probability": lambda: seq2seq.ScheduledOutputTrainingSampler(1.5),
    "initial_state must have a row for each of 2": lambda: _basic(
        seq2seq.TrainingSampler()
    )(X, initial_state=H[:1]),
    "initial_state must have batch": lambda: _beams(H),
    "coverage_penalty_weight must be 0": lambda: _beams(
        seq2seq.tile_batch(H, 2), coverage_penalty_weight=1.0
    ),
    "impute_finished must be False": lambda: _beams(
        seq2seq.tile_batch(H, 2), impute_finished=True
    ),
    "beam_width": lambda: seq2seq.BeamSearchDecoder(tf1.GRUCell(U), 0),
    "decoder must be a Decoder": lambda: seq2seq.dynamic_decode(tf1.GRUCell(U)),
    "maximum_iterations must be one positive": lambda: seq2seq.dynamic_decode(
        _basic(seq2seq.TrainingHelper(X, LENGTHS)), maximum_iterations=0
    ),
    "next_inputs_fn must make inputs": lambda: _basic(
        seq2seq.ScheduledOutputTrainingSampler(0.5)
    )(X),
}


@pytest.mark.parametrize("says", MISTAKES)
def test_a_mistake_is_told(says):
    with pytest.raises(ValueError, match=says) as raised:
        MISTAKES[says]()
    assert "Got " in str(raised.value)
