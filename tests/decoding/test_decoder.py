"""A decoder, taught and fed its own: values and gradients in float64 NumPy."""

from collections import OrderedDict

import unrolled
from unrolled.engine import eager

import jax
import keras
import numpy as np
import pytest
from autograd import make_vjp
from autograd.tracer import getval
from jax import numpy as jnp
from jax import random

from ..cells_of_users import Attending
from ..harness import close, scatter
from ..sources import decoding as law

# The output layer is Keras's own Dense.
pytestmark = pytest.mark.keras_ranks

B, T, V, E, U, F, C, S, M = 3, 5, 6, 3, 4, 2, 3, 4, 2
END = 2


def _decoder(kind, **given):
    """Of tokens, or of values with something known beside."""
    embedding = keras.layers.Embedding(V, E) if kind == "tokens" else None
    cell = unrolled.SimpleRNNCell(U)
    output = keras.layers.Dense(V if kind == "tokens" else F)
    decoder = unrolled.Decoder(embedding, cell, output, **given)
    if kind == "tokens":
        decoder.build((None, None))
    else:
        decoder.build((None, None, F), known_shape=(None, None, C))
    return decoder


def _weights(decoder):
    """By the letters of `law.taught`."""
    names = {"kernel": "W", "recurrent_kernel": "R", "bias": "b", "embeddings": "E"}
    found = {}
    for v in decoder.trainable_variables:
        above = v.path.startswith(decoder.output_layer.path)
        found[{"kernel": "O", "bias": "c"}[v.name] if above else names[v.name]] = v
    return found


def _decided(seed, p):
    """Which rows are fed their own, ``[T, B]``: drawn again by hand."""
    key = random.wrap_key_data(jnp.array([seed, 0], "uint32"))
    drawn = [random.bernoulli(_split(key, t), p, (B, 1)) for t in range(T)]
    return np.array(drawn)[..., 0]


def _split(key, t):
    return random.split(random.fold_in(key, t))[0]


def _likeliest(outputs, key):
    del key
    return outputs.argmax(-1)


def _soft(outputs, key):
    del key
    return jax.nn.softmax(outputs)


# What is fed back: by us, and in NumPy from outputs and weights.
FORMS = {
    "values": ("values", None, lambda y, w: y),
    "tokens": ("tokens", _likeliest, lambda y, w: w["E"][getval(y).argmax(-1)]),
    "weights": ("tokens", _soft, lambda y, w: law.softmax(y) @ w["E"]),
}


@pytest.mark.parametrize("p", [0.5, 1.0])
@pytest.mark.parametrize("form", FORMS)
def test_scheduled_sampling(form, p, rng):
    """Values and gradients of every weight, with what each row was fed."""
    kind, sampler, back = FORMS[form]
    decoder = _decoder(kind, sampling_probability=p, sampler=sampler, seed=4)
    scatter(decoder, rng)
    feeds = _decided(4, p)
    assert len(set(feeds[1:].ravel().tolist())) == (1 if p == 1 else 2)
    tokens, values = rng.integers(0, V, (B, T)), rng.normal(size=(B, T, F))
    known = rng.normal(size=(B, T, C))
    variables = _weights(decoder)
    single = {n: np.asarray(v.value, "float64") for n, v in variables.items()}
    d_y = rng.normal(size=(B, T, V if kind == "tokens" else F))

    def ours(weights, known):
        at = {v.path: weights[n] for n, v in variables.items()}
        trainable = [at[v.path] for v in decoder.trainable_variables]
        rest = [v.value for v in decoder.non_trainable_variables]
        x = jnp.asarray(tokens) if kind == "tokens" else jnp.asarray(values, "float32")
        given = {} if kind == "tokens" else {"known": known}
        y, _ = decoder.stateless_call(trainable, rest, x, training=True, **given)
        return y

    @jax.jit
    def run(weights, known, d_y):
        y, pull = jax.vjp(ours, weights, known)
        return y, *pull(d_y)

    cast = lambda tree: jax.tree.map(lambda a: np.asarray(a, "float32"), tree)  # noqa: E731
    y, d_weights, d_known = run(*cast((single, known, d_y)))

    def expected(given):
        weights, known = given
        if kind == "tokens":
            xs, known = [weights["E"][tokens[:, t]] for t in range(T)], None
        else:
            xs = [values[:, t] for t in range(T)]
            known = [known[:, t] for t in range(T)]
        return law.taught(weights, xs, known, feeds, lambda y: back(y, weights))

    pull, law_y = make_vjp(expected)((single, known))
    law_weights, law_known = pull(d_y)
    close(y, law_y)
    np.testing.assert_allclose(d_known, law_known, rtol=1e-4, atol=1e-5)
    for name, d in d_weights.items():
        np.testing.assert_allclose(
            d, law_weights[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


def test_taught_reads_what_is_given(rng):
    """Without scheduled sampling, outside of training, and where its chance is none."""
    decoder = scatter(_decoder("tokens", sampling_probability=0.9, seed=1), rng)
    tokens = rng.integers(0, V, (B, T))
    w = {n: np.asarray(v.value, "float64") for n, v in _weights(decoder).items()}
    xs = [w["E"][tokens[:, t]] for t in range(T)]
    none = np.zeros((T, B), bool)
    expected = law.taught(w, xs, None, none, lambda y: w["E"][:B])
    close(decoder(tokens), expected)
    assert np.abs(decoder(tokens, training=True) - expected).max() > 0.1
    decoder.probability.assign(0.0)
    close(decoder(tokens, training=True), expected)
    plain = _decoder("tokens")
    assert len(plain.weights) == len(decoder.trainable_weights)
    plain.set_weights([v.value for v in decoder.trainable_variables])
    close(plain(tokens), expected)
    close(plain(tokens, training=True), expected)


def test_scheduled_sampling_with_attention(rng):
    """All fed back, and the likeliest, it gives what greedy decoding finds.

    The states of an encoder are those of the cell inside alone.
    """
    cell = unrolled.AttentionCell(unrolled.GRUCell(U), unrolled.BahdanauAttention(3))
    decoder = unrolled.Decoder(
        keras.layers.Embedding(V, E),
        cell,
        keras.layers.Dense(V),
        sampling_probability=1.0,
        sampler=_likeliest,
    )
    decoder.build((None, None), memory_shape=(None, None, M))
    scatter(decoder, rng)
    given = {
        "memory": rng.normal(size=(B, S, M)).astype("float32"),
        "memory_mask": np.arange(S)[None] < np.array([[S], [2], [3]]),
        "initial_state": [rng.normal(size=(B, U)).astype("float32")],
    }
    logits = decoder(np.ones((B, T), "int32"), training=True, **given)
    found = decoder.generate(1, max_steps=T, **given)
    np.testing.assert_array_equal(logits.argmax(-1), found.tokens[:, 0])
    each = law.log_softmax(np.asarray(logits, "float64")).max(-1)
    np.testing.assert_allclose(found.log_probs[:, 0], each.sum(1), rtol=1e-5)


def test_logits_are_drawn_from(rng):
    """By default what is fed back is drawn from the logits, not the likeliest."""
    told = scatter(_decoder("tokens", sampling_probability=1.0, seed=1), rng)
    x = rng.integers(0, V, (B, T))
    first, second = told(x, training=True), told(x, training=True)
    close(first[:, 0], second[:, 0])
    assert np.abs(first[:, 1:] - second[:, 1:]).max() > 0.1  # other draws
    again = _decoder("tokens", sampling_probability=1.0, seed=1)
    for mine, theirs in zip(
        again.trainable_variables, told.trainable_variables, strict=True
    ):
        mine.assign(theirs)
    close(again(x, training=True), first)


# --- fed its own ---


def _cell(kind):
    return {
        "memory": lambda: Attending(U),
        "stack": lambda: [unrolled.LSTMCell(U), unrolled.GRUCell(3)],
        "keras": lambda: keras.layers.GRUCell(U),
    }[kind]()


@pytest.mark.parametrize("kind", ["memory", "stack", "keras"])
@pytest.mark.parametrize("width", [1, 3])
def test_generated_tokens_are_those_it_was_taught_to_give(kind, width, rng):
    """Log-probabilities are what the taught decoder says of the tokens."""
    decoder = unrolled.Decoder(
        keras.layers.Embedding(V, E), _cell(kind), keras.layers.Dense(V)
    )
    given = {"batch_size": B}
    if kind == "memory":
        mask = np.arange(S)[None] < np.array([[S], [2], [3]])
        memory = rng.normal(size=(B, S, M)).astype("float32")
        given = {"memory": memory, "memory_mask": mask}
        decoder.build((None, None), memory_shape=(None, None, M))
    else:
        decoder.build((None, None))
    scatter(decoder, rng)
    found = decoder.generate(1, end=END, max_steps=T, beam_width=width, **given)
    given.pop("batch_size", None)
    for k in range(width):
        tokens = np.asarray(found.tokens[:, k])
        before = np.concatenate([np.ones((B, 1), "int32"), tokens[:, :-1]], 1)
        logits = law.log_softmax(np.asarray(decoder(before, **given), "float64"))
        there = np.arange(T)[None] < np.asarray(found.lengths[:, k])[:, None]
        each = np.take_along_axis(logits, tokens[..., None], 2)[..., 0]
        np.testing.assert_allclose(
            found.log_probs[:, k], (each * there).sum(1), rtol=1e-4
        )
        if width == 1:
            np.testing.assert_array_equal(
                np.where(there, logits.argmax(-1), END), tokens
            )
    view = unrolled.RNN(decoder.cell).get_initial_state(B)
    assert jax.tree.structure(found.states) == jax.tree.structure(view)


def test_states_by_name_follow_the_hypotheses(rng):
    decoder = scatter(_decoder("tokens"), rng)
    found = decoder.generate(
        np.ones(B, "int64"),
        end=END,
        max_steps=T,
        beam_width=3,
        initial_state=rng.normal(size=(B, U)).astype("float32"),
        record=lambda states: states["h"],
    )
    assert found.records.shape == (B, 3, T, U)
    last = np.asarray(found.lengths) - 1
    for b in range(B):
        for k in range(3):
            close(found.records[b, k, last[b, k]], found.states[0][b, k])


def test_coverage_reads_alignments_by_name_and_the_memory_mask(rng):
    """Entries behind the mask are not to be covered."""

    class Looking(unrolled.Cell):
        state_size = (U, S)
        output_size = U
        state_names = ("h", "alignments")

        def get_constants(self, batch_size, training, memory, memory_mask):
            del batch_size, training
            return memory, memory_mask

        def step(self, x, states, constants):
            memory, mask = constants
            scores = jnp.where(mask, jnp.einsum("bsu,bu->bs", memory, states[0]), -1e9)
            alignments = jax.nn.softmax(scores)
            h = jnp.tanh(x + jnp.einsum("bs,bsu->bu", alignments, memory))
            return h, [h, alignments]

    decoder = unrolled.Decoder(
        keras.layers.Embedding(V, U), Looking(), keras.layers.Dense(V)
    )
    memory = rng.normal(size=(B, S, U)).astype("float32")
    mask = np.arange(S)[None] < np.array([[S], [2], [3]])
    given = {"memory": memory, "memory_mask": mask, "end": END, "max_steps": T}
    found = decoder.generate(
        1,
        beam_width=2,
        coverage_penalty=0.7,
        length_penalty=0.4,
        record=lambda states: states["alignments"],
        **given,
    )
    for b in range(B):
        for k in range(2):
            length = int(found.lengths[b, k])
            covered = np.asarray(found.records[b, k, :length], "float64").sum(0)
            score = law.gnmt(
                float(found.log_probs[b, k]), length, covered, 0.4, 0.7, mask[b]
            )
            np.testing.assert_allclose(found.scores[b, k], score, rtol=1e-4)


def test_a_second_call_compiles_nothing(rng, monkeypatch):
    """And a step is traced as often, however many there are."""
    traces = []

    class Counted(unrolled.SimpleRNNCell):
        def step(self, x, states, constants):
            traces.append(x.shape)
            return super().step(x, states, constants)

    decoder = unrolled.Decoder(
        keras.layers.Embedding(V, E), Counted(U), keras.layers.Dense(V)
    )
    decoder.build((None, None))
    run = lambda **given: decoder.generate(1, batch_size=B, end=END, **given)  # noqa: E731
    run(max_steps=4, beam_width=2)
    monkeypatch.setattr(eager, "_PROGRAMS", OrderedDict())
    traces.clear()
    run(max_steps=T, beam_width=2)
    (program,) = eager._PROGRAMS.values()
    assert len(traces) == 3  # what it assigns, what it gives, and the loop
    scatter(decoder, rng)
    run(max_steps=T, beam_width=2)
    assert list(eager._PROGRAMS.values()) == [program]
    assert len(traces) == 6
    run(max_steps=9, beam_width=3)
    assert len(traces) == 9


def test_narrow_arithmetic():
    """Scores are added up in float32, of the taught decoder's bfloat16 logits."""
    decoder = unrolled.Decoder(
        keras.layers.Embedding(V, E, dtype="mixed_bfloat16"),
        unrolled.GRUCell(U, dtype="mixed_bfloat16"),
        keras.layers.Dense(V, dtype="mixed_bfloat16"),
        dtype="mixed_bfloat16",
    )
    found = decoder.generate(1, batch_size=B, max_steps=T)
    assert found.scores.dtype == "float32"
    tokens = np.asarray(found.tokens[:, 0])
    before = np.concatenate([np.ones((B, 1), "int32"), tokens[:, :-1]], 1)
    logits = decoder(before)
    assert logits.dtype == "bfloat16"
    each = law.log_softmax(np.asarray(logits, "float64"))
    each = np.take_along_axis(each, tokens[..., None], 2)[..., 0]
    np.testing.assert_allclose(found.scores[:, 0], each.sum(1), rtol=2e-2)


def test_inside_jit(rng):
    decoder = scatter(_decoder("tokens"), rng)
    draw = unrolled.sampler(top_k=3)
    given = {"end": END, "max_steps": T, "beam_width": 2, "sampler": draw}
    run = jax.jit(lambda start, seed: decoder.generate(start, seed=seed, **given))
    found = run(jnp.ones(B, "int32"), random.key(3))
    again = decoder.generate(1, batch_size=B, seed=3, **given)
    np.testing.assert_array_equal(found.tokens, again.tokens)


# --- forecasts ---


def _forecasts(rng, **given):
    decoder = scatter(_decoder("values", **given), rng)
    start = rng.normal(size=(B, F)).astype("float32")
    known = rng.normal(size=(B, T, C)).astype("float32")
    return decoder, start, known


def _law(decoder, start, known, back=lambda y: y):
    """All fed back, in NumPy."""
    w = {n: np.asarray(v.value, "float64") for n, v in _weights(decoder).items()}
    fed = np.ones((T, B), bool)
    return law.taught(w, [start] * T, np.moveaxis(known, 1, 0), fed, back)


def test_a_forecast_feeds_back_its_own_values(rng):
    decoder, start, known = _forecasts(rng)
    found = decoder.forecast(start, max_steps=T, known=known)
    close(found.values, _law(decoder, start, known))
    close(found.outputs, found.values)
    assert found.lengths.tolist() == [T] * B
    # Its gradients are those of training with all fed back.
    taught = _decoder("values", sampling_probability=1.0)
    for mine, theirs in zip(
        taught.trainable_variables, decoder.trainable_variables, strict=True
    ):
        mine.assign(theirs)
    d_y = rng.normal(size=(B, T, F)).astype("float32")

    def fed(known):
        inputs = jnp.broadcast_to(start[:, None], (B, T, F))
        return (taught(inputs, known=known, training=True) * d_y).sum()

    def free(known):
        return (decoder.forecast(start, max_steps=T, known=known).values * d_y).sum()

    np.testing.assert_allclose(
        jax.grad(free)(known), jax.grad(fed)(known), rtol=1e-4, atol=1e-5
    )


def test_a_forecast_ends_where_the_data_say_so(rng):
    decoder, start, known = _forecasts(rng)
    expected = _law(decoder, start, known)
    limit = np.sort(expected[:, :, 0].ravel())[-4:].mean()
    until = lambda values, outputs: values[:, 0] > limit  # noqa: E731
    found = decoder.forecast(start, max_steps=T, known=known, until=until)
    over = expected[:, :, 0] > limit
    lengths = np.where(over.any(1), over.argmax(1) + 1, T)
    assert len(set(lengths.tolist())) > 1
    assert found.lengths.tolist() == lengths.tolist()
    there = np.arange(T)[None] < lengths[:, None]
    close(found.values, expected * there[..., None])


def test_a_forecast_may_be_a_sample(rng):
    """What is fed back is drawn of a distribution whose parameters the outputs are."""
    decoder = unrolled.Decoder(
        None,
        unrolled.SimpleRNNCell(U),
        keras.layers.Dense(2 * F),
        sampler=lambda out, key: out[:, :F] + random.normal(key, (B, F)),
    )
    start = rng.normal(size=(B, F)).astype("float32")
    found = decoder.forecast(start, max_steps=T, seed=2)
    assert found.outputs.shape == (B, T, 2 * F)
    noise = [random.normal(random.fold_in(random.key(2), t), (B, F)) for t in range(T)]
    close(found.values, found.outputs[..., :F] + jnp.stack(noise, 1))
    # Taught with what it gave, it gives the same.
    before = jnp.concatenate([start[:, None], found.values[:, :-1]], 1)
    close(decoder(before), found.outputs)


# --- as a layer ---


def test_it_is_fitted_saved_and_loaded(rng, tmp_path):
    """A callback raises the chance of being fed its own, and nothing compiles anew."""
    traces = []

    @keras.saving.register_keras_serializable("tests")
    def likeliest(outputs, key):
        del key
        traces.append(outputs.shape)
        return outputs.argmax(-1)

    decoder = unrolled.Decoder(
        keras.layers.Embedding(V, E, mask_zero=True),
        unrolled.GRUCell(U),
        keras.layers.Dense(V),
        sampling_probability=0.0,
        sampler=likeliest,
        seed=3,
    )
    source, tokens = keras.Input((U,)), keras.Input((T,), dtype="int32")
    model = keras.Model([source, tokens], decoder(tokens, initial_state=source))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    ids = rng.integers(1, V, (B, T)).astype("int32")
    x = [rng.normal(size=(B, U)).astype("float32"), ids]
    model.fit(x, x[1], epochs=1, verbose=0)
    counted = len(traces)
    raised = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: decoder.probability.assign(0.3 * epoch)
    )
    model.fit(x, x[1], epochs=3, verbose=0, callbacks=[raised])
    assert counted
    assert len(traces) == counted
    np.testing.assert_allclose(decoder.probability.value, 0.6)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    close(again.predict(x, verbose=0), model.predict(x, verbose=0))
    loaded = again.get_layer(decoder.name)
    np.testing.assert_allclose(loaded.probability.value, 0.6)
    given = {"initial_state": x[0], "max_steps": T, "end": END}
    np.testing.assert_array_equal(
        loaded.generate(1, **given).tokens, decoder.generate(1, **given).tokens
    )


def test_a_decoder_without_an_embedding_has_a_configuration():
    config = _decoder("values", sampling_probability=0.5).get_config()
    assert config["embedding"] is None
    again = unrolled.Decoder.from_config(config)
    assert again.get_config() == config


def test_padding_has_a_mask(rng):
    decoder = unrolled.Decoder(
        keras.layers.Embedding(V, E, mask_zero=True),
        unrolled.GRUCell(U),
        keras.layers.Dense(V),
    )
    tokens = rng.integers(1, V, (B, T))
    tokens[1, 2:] = 0
    y = decoder(tokens)
    close(y[1, 2:], jnp.broadcast_to(y[1, 1], (T - 2, V)))  # the last output again
    np.testing.assert_array_equal(y._keras_mask, tokens != 0)
    other = decoder(np.where(tokens, tokens, 3), mask=jnp.asarray(tokens != 0))
    close(other, y)


# --- what does not fit ---


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"embedding": 7}, "embedding must be a Keras layer, or None"),
        ({"output_layer": None}, "output_layer must be a Keras layer"),
        ({"cell": keras.layers.Dense}, "cell must be a cell"),
        ({"sampling_probability": 2}, "sampling_probability must be a number from 0"),
    ],
)
def test_parts_that_do_not_fit(given, said):
    parts = {"embedding": None, "cell": unrolled.GRUCell(2)}
    parts["output_layer"] = keras.layers.Dense(2)
    with pytest.raises(ValueError, match=said):
        unrolled.Decoder(**(parts | given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start": np.ones((B, F), "int32")}, "start must hold values.*astype"),
        ({"start": np.ones(B, "float32")}, "start must hold values.*start\\[:, None"),
        ({"start": np.ones((B, T, F), "float32")}, "start must.*the last step alone"),
        ({"known": None}, "known must have 3 numbers at each step.*none: pass known"),
        ({"known": np.ones((B, T, 1), "float32")}, "known must have 3 numbers"),
        ({"max_steps": 1.5}, "max_steps must be a positive integer"),
        ({"known": np.ones((B, T + 1, C), "float32")}, "known must have shape"),
        ({"sampler": lambda out, key: out[:, :1]}, "sampler must give values like"),
        ({"sampler": lambda out, key: None}, "sampler must give .* Got NoneType"),
        ({"sampler": 3}, "sampler must be a function. Got 3"),
        ({"until": 3}, "until must be a function. Got 3"),
        ({"until": lambda v, out: v}, r"until must return truth values \(batch,\)"),
        ({"until": lambda v, out: v[:, 0]}, "until must return .* Got float32"),
        ({"until": lambda v, out: None}, "until must return .* Got NoneType"),
        ({"initial_state": np.ones((B, U + 1))}, "initial_state\\[0\\] .* must have"),
        ({"memory": np.ones((B, 2))}, "memory can only go to a cell that reads one"),
    ],
)
def test_forecasts_that_do_not_fit(given, said, rng):
    decoder, start, known = _forecasts(rng)
    with pytest.raises(ValueError, match=said):
        decoder.forecast(**({"start": start, "max_steps": T, "known": known} | given))


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("values", {}, "embedding must be given where tokens are fed back.*forecast"),
        (
            "tokens",
            {"start": np.ones((B, 1), "int32")},
            "start must be a token.*prefix",
        ),
        ("tokens", {"start": 1.5}, "start must be a token, a whole number"),
        ("tokens", {"start": V}, f"start must be a token of .*, from 0 to {V - 1}"),
        ("tokens", {"start": [1, -1]}, "start must be a token of the embedding"),
        ("tokens", {"num_beams": 2}, "num_beams is no argument of generate.*beam_wid"),
        ("tokens", {"beam_with": 2}, "beam_with is no argument of generate.*beam_wid"),
        ("tokens", {"top_k": 2}, r"top_k is no .*sampler=unrolled.sampler"),
        ("tokens", {"known": np.ones((B, T, C))}, "known must have 0 .*leave it out"),
        ("tokens", {"coverage_penalty": 0.2}, "alignments must be given for a cover"),
    ],
)
def test_what_is_not_generated(kind, given, said):
    given = {"start": 1, "max_steps": T, "batch_size": B} | given
    with pytest.raises(ValueError, match=said):
        _decoder(kind).generate(**given)


def test_tokens_that_are_given_can_be_read():
    """The end alone is never read."""
    parts = (unrolled.GRUCell(2), keras.layers.Dense(V + 1))
    decoder = unrolled.Decoder(keras.layers.Embedding(V, E), *parts)
    given = {"max_steps": 2, "batch_size": 1}
    found = decoder.generate(1, end=V, **given)
    assert np.isfinite(found.scores).all()
    with pytest.raises(ValueError, match=f"output_layer must give .*{V} tokens. Got 7"):
        decoder.generate(1, end=2, **given)


def test_a_cell_may_embed_tokens_itself():
    cell = unrolled.EmbeddingWrapper(unrolled.GRUCell(2), V, E)
    decoder = unrolled.Decoder(None, cell, keras.layers.Dense(V))
    logits = decoder(np.ones((B, 1), "int32"))
    found = decoder.generate(1, max_steps=1, batch_size=B)
    np.testing.assert_array_equal(found.tokens[:, 0], logits.argmax(-1))


def test_a_known_width_is_that_of_the_file():
    """Also where the decoder is built from shapes alone."""
    decoder = _decoder("values")
    again = unrolled.Decoder.from_config(decoder.get_config())
    again.build_from_config(decoder.get_build_config())
    assert (decoder.known_width, again.known_width) == (C, C)


def test_tokens_are_not_forecast():
    with pytest.raises(
        ValueError, match=r"embedding must not be an Embedding.*generate"
    ):
        _decoder("tokens").forecast(np.ones((B, 1), "float32"), max_steps=T)


def test_coverage_has_one_mask():
    masks = [np.ones((B, S), bool)] * 2
    memory = [np.ones((B, S, M), "float32")] * 2
    with pytest.raises(ValueError, match="memory_mask must be one mask where there"):
        _decoder("tokens").generate(
            1,
            max_steps=T,
            memory=memory,
            memory_mask=masks,
            coverage_penalty=1.0,
            initial_state=np.ones((B, U), "float32"),
        )


def test_a_generator_needs_rows():
    decoder = _decoder("tokens")
    with pytest.raises(ValueError, match=r"batch_size must be a positive .* Got None"):
        decoder.generate(1, max_steps=T)
    with pytest.raises(ValueError, match=r"batch_size must be .* Got 2.5"):
        decoder.generate(1, max_steps=T, batch_size=2.5)
    with pytest.raises(ValueError, match=r"batch_size must be that of start.*, 2. Got"):
        decoder.generate([1, 2], max_steps=T, batch_size=3)
    with pytest.raises(ValueError, match=r"start must be a token.* Got 'a'"):
        decoder.generate("a", max_steps=T, batch_size=3)
    with pytest.raises(ValueError, match="record must be a function"):
        decoder.generate(1, max_steps=T, batch_size=3, record="h")


def test_what_is_known_is_known_of_every_step():
    decoder = _decoder("tokens")
    known = np.ones((B, T - 1, C), "float32")
    with pytest.raises(ValueError, match=r"known must have shape \(batch, time, C\)"):
        decoder(np.ones((B, T), "int32"), known=known)


def test_what_is_fed_back_is_as_wide_as_what_is_read(rng):
    narrow = lambda outputs, key: outputs[:, :1]  # noqa: E731
    decoder = _decoder("values", sampling_probability=0.5, sampler=narrow)
    x, known = (jnp.asarray(rng.normal(size=(B, T, n)), "float32") for n in (F, C))
    with pytest.raises(ValueError, match="sampler must make inputs of outputs"):
        decoder(x, known=known, training=True)


def test_a_step_that_assigns_is_told_of():
    class Counts(unrolled.SimpleRNNCell):
        def build(self, input_shape):
            super().build(input_shape)
            self.calls = self.add_weight(name="calls", shape=(), trainable=False)

        def step(self, x, states, constants):
            self.calls.assign(self.calls + 1.0)
            return super().step(x, states, constants)

    decoder = unrolled.Decoder(
        keras.layers.Embedding(V, E), Counts(U), keras.layers.Dense(V)
    )
    with pytest.raises(ValueError, match=r"cell must leave its variables.*calls"):
        decoder.generate(1, batch_size=2, max_steps=3)
