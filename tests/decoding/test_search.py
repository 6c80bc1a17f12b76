"""Search against exhaustive search and a plain beam search, in float64 NumPy."""

from collections import OrderedDict

import unrolled
from unrolled.decoding import beam
from unrolled.decoding.samplers import filtered
from unrolled.engine import eager

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..sources import decoding as law

B, V, U, S, T = 2, 3, 4, 3, 4
START, END = 0, 2
EVERY = 1 + 2 + 4 + 8 + 16  # hypotheses of T tokens or fewer


@pytest.fixture
def case(rng):
    """A model, h and a memory of two rows, and the step of B rows."""
    return Case(rng)


class Case:
    """The model of `law` and the same one in JAX."""

    def __init__(self, rng):
        """Random weights and arrays."""
        self.model = law.Model(rng, V, U, S)
        self.h = rng.normal(size=(B, U))
        self.memory = rng.normal(size=(B, S, U))
        self.traces = 0
        table, recurrent, out = (
            np.asarray(w, "float32")
            for w in (self.model.table, self.model.recurrent, self.model.out)
        )

        def step(tokens, states, memory):
            self.traces += 1
            h, _ = states
            assert tokens.shape == (B,)
            assert memory.shape == (B, S, U)
            alignments = jax.nn.softmax(jnp.einsum("bsu,bu->bs", memory, h))
            context = jnp.einsum("bs,bsu->bu", alignments, memory)
            h = jnp.tanh(jnp.asarray(table)[tokens] + h @ recurrent + context)
            return h @ out, (h, alignments)

        self.step = step

    def __call__(self, **given):
        """Our search."""
        states = (self.h.astype("float32"), np.zeros((B, S), "float32"))
        memory = self.memory.astype("float32")
        given = {"start": START, "end": END, "max_steps": T} | given
        return unrolled.search(self.step, states, memory, **given)

    def rows(self):
        """What `law` takes of each row."""
        return [(self.model, self.h[b], self.memory[b], START) for b in range(B)]


def hold(found, expected):
    """Tokens, lengths and scores of each row as in lists of the reference."""
    for b, hypotheses in enumerate(expected):
        for k, (score, tokens, log_prob) in enumerate(hypotheses):
            length = len(tokens)
            assert found.lengths[b, k] == length
            padded = [*tokens, *[END] * (T - length)]
            assert found.tokens[b, k].tolist() == padded
            assert bool(found.finished[b, k]) == (tokens[-1] == END)
            np.testing.assert_allclose(found.scores[b, k], score, rtol=2e-5)
            np.testing.assert_allclose(found.log_probs[b, k], log_prob, rtol=2e-5)


PENALTIES = pytest.mark.parametrize("penalties", [(0.0, 0.0), (0.9, 0.6)], ids=str)


def _given(penalties):
    if penalties == (0.0, 0.0):
        return {}
    alignments = lambda states: states[1]  # noqa: E731
    return {
        "length_penalty": penalties[0],
        "coverage_penalty": penalties[1],
        "alignments": alignments,
    }


@PENALTIES
def test_a_full_beam_is_exhaustive_search(case, penalties):
    found = case(beam_width=EVERY, **_given(penalties))
    expected = [law.everything(*row, END, T, *penalties) for row in case.rows()]
    assert len(expected[0]) == EVERY
    hold(found, expected)


@PENALTIES
@pytest.mark.parametrize("width", [1, 2, 5])
def test_narrow_beams(case, width, penalties):
    found = case(beam_width=width, **_given(penalties))
    hold(found, [law.beam(*row, END, T, width, *penalties) for row in case.rows()])


def test_states_and_records_follow_the_hypotheses(case):
    found = case(beam_width=5, record=lambda states: {"a": states[1]})
    assert found.records["a"].shape == (B, 5, T, S)
    for b, row in enumerate(case.rows()):
        for k in range(5):
            tokens = found.tokens[b, k, : found.lengths[b, k]].tolist()
            _, alignments, h = law.follow(row[0], tokens, *row[1:])
            np.testing.assert_allclose(found.states[0][b, k], h, atol=2e-6)
            np.testing.assert_allclose(found.states[1][b, k], alignments[-1], atol=2e-6)
            told = np.zeros((T, S))
            told[: len(tokens)] = alignments
            np.testing.assert_allclose(found.records["a"][b, k], told, atol=2e-6)


def test_groups_avoid_each_other(case):
    found = case(beam_width=4, groups=2, diversity_penalty=1.5)
    hold(found, [law.groups(*row, END, T, 4, 2, 1.5) for row in case.rows()])
    plain = case(beam_width=4)
    assert not np.array_equal(found.tokens, plain.tokens)


def test_greedy_is_the_likeliest_token_each_time(case):
    found = case(record=lambda states: states[1])
    for b, row in enumerate(case.rows()):
        tokens, h, last = [], row[1], START
        while len(tokens) < T and last != END:
            logits, h, _ = row[0].step(last, h, row[2])
            last = int(logits.argmax())
            tokens.append(last)
        assert found.tokens[b, 0, : found.lengths[b, 0]].tolist() == tokens
        log_prob, alignments, _ = law.follow(row[0], tokens, *row[1:])
        np.testing.assert_allclose(found.scores[b, 0], log_prob, rtol=2e-5)
        np.testing.assert_allclose(
            found.records[b, 0, : len(tokens)], alignments, atol=2e-6
        )


def test_minimum_length_and_prefix(case):
    """Against every hypothesis that is allowed; scores stay those of the model."""
    prefix = np.array([[-1, 1], [0, -1]])
    found = case(beam_width=EVERY, min_length=2, prefix=prefix)
    for b, row in enumerate(case.rows()):
        allowed = [
            each
            for each in law.everything(*row, END, T)
            if len(each[1]) > 2
            and all(p in (-1, t) for p, t in zip(prefix[b], each[1], strict=False))
        ]
        hold(jax.tree.map(lambda a, b=b: a[b : b + 1], found), [allowed])
        # There are no others.
        assert np.isneginf(found.scores[b, len(allowed) :]).all()


def test_a_prefix_goes_before_a_minimum_length(case):
    found = case(min_length=2, prefix=[[1, END], [END, -1]])
    assert found.lengths[:, 0].tolist() == [2, 1]
    assert found.tokens[:, 0, 0].tolist() == [1, END]


def test_repeated_tokens_are_less_likely(case):
    found = case(beam_width=1, end=None, repetition_penalty=1.7)
    for b, row in enumerate(case.rows()):
        tokens, h, last, total = [], row[1], START, 0.0
        for _ in range(T):
            logits, h, _ = row[0].step(last, h, row[2])
            logits = law.repeated(logits, tokens, 1.7)
            last = int(logits.argmax())
            total += law.log_softmax(logits)[last]
            tokens.append(last)
        assert found.tokens[b, 0].tolist() == tokens
        np.testing.assert_allclose(found.scores[b, 0], total, rtol=2e-5)


def test_logits_are_adjusted(case):
    """No token twice in a row: what is forbidden is told by the tokens so far."""
    seen = []

    def adjust(logits, tokens, count):
        seen.append((logits.shape, tokens.shape))
        last = tokens[:, jnp.maximum(count - 1, 0)]
        again = (jnp.arange(V)[None] == last[:, None]) & (count > 0)
        return jnp.where(again, -jnp.inf, logits)

    found = case(beam_width=EVERY, adjust_logits=adjust)
    assert set(seen) == {((B, V), (B, T))}
    expected = [
        [
            each
            for each in law.everything(*row, END, T)
            if all(a != b for a, b in zip(each[1], each[1][1:], strict=False))
        ]
        for row in case.rows()
    ]
    hold(found, expected)


def test_all_forbidden_is_no_hypothesis(case):
    forbid = lambda logits, tokens, count: jnp.where(count == 2, -jnp.inf, logits)  # noqa: E731
    found = case(beam_width=2, end=None, adjust_logits=forbid)
    assert np.isneginf(found.scores).all()
    assert found.finished.all()
    assert (found.lengths == 2).all()


@pytest.mark.parametrize("width", [1, 3])
def test_logits_that_are_no_numbers_end_their_row(case, width):
    step = case.step

    def breaks(tokens, states, memory):
        logits, states = step(tokens, states, memory)
        bad = jnp.array([False, True])[:, None] & (tokens[:, None] == 1)
        return jnp.where(jnp.broadcast_to(bad, logits.shape), jnp.nan, logits), states

    whole = case(beam_width=width, prefix=[[0, 1]] * 2)
    case.step = breaks
    found = case(beam_width=width, prefix=[[0, 1]] * 2)
    np.testing.assert_array_equal(found.scores[0], whole.scores[0])
    assert np.isnan(found.scores[1]).all()
    assert np.isnan(found.log_probs[1]).all()
    assert found.finished[1].all()
    assert (found.lengths[1] == 2).all()
    assert (found.tokens[1, :, 2:] == END).all()


@pytest.mark.parametrize("token", [-1, 3])
def test_what_is_no_token_ends_its_row(case, token):
    """Not the last token of the vocabulary, as a place counted from behind."""
    draw = lambda logits, key: jnp.array([0, token])  # noqa: E731
    found = case(sampler=draw, seed=0, end=None)
    assert np.isfinite(found.scores[0]).all()
    assert np.isnan(found.scores[1]).all()
    assert found.lengths[:, 0].tolist() == [T, 0]


@pytest.mark.parametrize("width", [1, 2])
def test_alignments_that_are_no_numbers_end_their_row(case, width):
    looks = lambda s: jnp.where(jnp.arange(2)[:, None] == 1, jnp.nan, s[0][:, :2])  # noqa: E731
    found = case(beam_width=width, coverage_penalty=0.1, alignments=looks)
    assert np.isfinite(found.scores[0]).any()
    assert np.isnan(found.scores[1]).all()
    assert (found.tokens < 3).all()


def test_what_is_never_looked_at_stays_finite(case):
    """Coverage of nothing at all is the smallest number, not minus infinity."""
    step = case.step

    def hard(tokens, states, memory):
        logits, (h, _) = step(tokens, states, memory)
        return logits, (h, jnp.eye(S)[jnp.zeros(B, "int32")])

    case.step = hard
    given = {"coverage_penalty": 0.5, "alignments": lambda states: states[1]}
    found = case(beam_width=2, **given)
    assert np.isfinite(found.scores).all()
    covered = np.arange(S)[None].repeat(B, 0) < 1
    plain = case(beam_width=2, memory_mask=covered, **given)
    np.testing.assert_allclose(plain.scores, plain.log_probs, rtol=1e-6)
    assert (found.scores < plain.scores - 10).all()


# --- compiling ---


def test_it_compiles_once_and_stops_early(case, monkeypatch):
    monkeypatch.setattr(eager, "_PROGRAMS", OrderedDict())
    found = case(beam_width=2)
    first = case.traces
    (program,) = eager._PROGRAMS.values()
    again = case(beam_width=2)
    assert first == 2  # once to look at what it gives, once for the loop
    assert case.traces <= 2 * first
    assert list(eager._PROGRAMS.values()) == [program]
    np.testing.assert_array_equal(found.tokens, again.tokens)
    case.traces = 0
    case(beam_width=3, max_steps=40)
    assert case.traces <= first  # whatever K and T are


def test_inside_jit_the_loop_stops_on_the_end():
    """Counted on the host: no step is taken after the last row has ended."""
    steps = []

    def step(tokens, states, memory):
        jax.debug.callback(lambda _: steps.append(1), tokens.sum())
        after = states + 1
        logits = jnp.where(after[:, None] >= memory[:, None], -9.0, 9.0)
        return jnp.concatenate([logits, -logits], 1), after

    @jax.jit
    def run(limits):
        zero = jnp.zeros(2, "int32")
        return unrolled.search(step, zero, limits, start=0, end=1, max_steps=50)

    found = run(jnp.array([3, 6]))
    jax.effects_barrier()
    assert found.lengths[:, 0].tolist() == [3, 6]
    assert found.states[:, 0].tolist() == [3, 6]  # a row that ended stays as it was
    assert len(steps) == 6


def test_a_step_closes_over_arrays_of_its_rows(case):
    """They are the same for all K: nothing is repeated by hand."""
    step, memory = case.step, case.memory.astype("float32")
    expected = case(beam_width=3)
    case.step = lambda tokens, states, _: step(tokens, states, memory)
    found = case(beam_width=3)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    case.step = lambda tokens, states, m: step(tokens, states, m["memory"])
    states = (case.h.astype("float32"), np.zeros((B, S), "float32"))
    tree = unrolled.search(
        case.step, states, {"memory": memory}, start=[START] * B, end=END, max_steps=T
    )
    assert tree.tokens.shape == (B, 1, T)


# --- sampling ---


def test_samples_are_drawn_from_the_filtered_logits(case):
    """Drawn again by hand, with the same keys, from the reference's logits."""
    draw = unrolled.sampler(temperature=0.8, top_k=2)
    seen = []

    def spy(logits, key):
        jax.debug.callback(lambda *a: seen.append(a), logits, jax.random.key_data(key))
        return draw(logits, key)

    found = case(beam_width=2, sampler=spy, seed=3, end=None)
    jax.effects_barrier()
    again = case(beam_width=2, sampler=spy, seed=3, end=None)
    np.testing.assert_array_equal(found.tokens, again.tokens)
    other = case(beam_width=2, sampler=spy, seed=4, end=None)
    assert not np.array_equal(found.tokens, other.tokens)
    assert not np.array_equal(found.tokens[:, 0], found.tokens[:, 1])
    for b, row in enumerate(case.rows()):
        for k in range(2):
            tokens = found.tokens[b, k].tolist()
            log_prob, _, h = law.follow(row[0], tokens, *row[1:])
            np.testing.assert_allclose(found.scores[b, k], log_prob, rtol=2e-5)
            np.testing.assert_allclose(found.states[0][b, k], h, atol=2e-6)
    keys = {tuple(key.tolist()) for _, key in seen[: 2 * T]}
    assert len(keys) == 2 * T  # of each hypothesis and step another


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"temperature": 0.5},
        {"top_k": 3},
        {"top_k": 30},
        {"top_p": 0.6},
        {"top_p": 1.0},
        {"top_p": 1e-9},
        {"min_p": 0.3},
        {"temperature": 1.7, "top_k": 6, "top_p": 0.8, "min_p": 0.15},
    ],
    ids=str,
)
def test_filters(given, rng):
    logits = rng.normal(0, 2, (4, 8))
    ours = filtered(jnp.asarray(logits, "float32"), **given)
    for row, expected in zip(ours, logits, strict=True):
        np.testing.assert_allclose(row, law.filtered(expected, **given), rtol=2e-6)
    drawn = unrolled.sampler(**given)(ours, jax.random.key(1))
    assert np.isfinite(ours[np.arange(4), drawn]).all()


def test_a_draw_is_jax_s_own_of_what_is_left():
    logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
    left = jnp.log(jnp.array([[0.5, 0.3, 0.0]]))
    draw = unrolled.sampler(top_k=2)
    for seed in range(8):
        key = jax.random.key(seed)
        assert draw(logits, key)[0] == jax.random.categorical(key, left)[0]


def test_every_kind_of_seed(case):
    draw = lambda seed: case(sampler=unrolled.sampler(), seed=seed).tokens.tolist()  # noqa: E731
    assert draw(5) == draw(jax.random.key(5)) == draw(jnp.array(5))
    assert draw(5) == draw(jax.random.PRNGKey(5)) == draw(np.int64(5))
    generator = keras.random.SeedGenerator(5)
    assert [draw(generator) for _ in range(6)] != [draw(generator)] * 6
    keras.utils.set_random_seed(1)
    first = [draw(None) for _ in range(4)]
    keras.utils.set_random_seed(1)
    assert [draw(None) for _ in range(4)] == first


# --- what does not fit ---


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_steps": 0}, "max_steps must be a positive integer"),
        ({"start": 0.5}, "start must be a token"),
        ({"start": [0, 1, 1]}, "states must have one row for each sequence"),
        ({"end": 1.0}, "end must be a token"),
        ({"end": 3}, "end must be below the number of logits, 3"),
        ({"min_length": 9}, "min_length must be a whole number from 0 to max_steps, 4"),
        ({"min_length": 1, "end": None}, "min_length needs an end token"),
        ({"prefix": [0, 1]}, "prefix must hold tokens"),
        ({"prefix": [[0] * 5] * 2}, "prefix must hold tokens"),
        ({"beam_width": 0}, "beam_width must be a positive integer"),
        ({"sampler": "greedy"}, "sampler must be a function"),
        ({"beam_width": 4, "groups": 3}, "groups must divide beam_width, 4"),
        (
            {"beam_width": 2, "groups": 2, "sampler": lambda logits, key: 0},
            "groups are of beam search",
        ),
        ({"diversity_penalty": 1.0}, "diversity_penalty must be positive, and needs"),
        ({"length_penalty": "1"}, "length_penalty must be a number"),
        ({"coverage_penalty": 0.1}, "alignments must be given for a coverage_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty must be a positive number"),
        ({"sampler": lambda logits, key: logits, "seed": 0}, "sampler must return"),
        ({"adjust_logits": lambda *a: a[0][:, :2]}, "adjust_logits must return"),
        ({"adjust_logits": lambda *a: a[0] > 0}, "adjust_logits must return .* bool"),
        ({"adjust_logits": lambda *a: (a[0], 1)}, "adjust_logits must .* Got tuple"),
        ({"adjust_logits": 3}, "adjust_logits must be a function. Got 3"),
        ({"record": "h"}, "record must be a function"),
        ({"record": lambda s: 1.0}, r"record must return arrays \(batch, ...\). Got"),
        ({"record": lambda s: s[0][:1]}, "record must return .* with a batch of 2"),
        ({"alignments": 3, "coverage_penalty": 0.1}, "alignments must be a function"),
        (
            {"alignments": lambda s: s[0][:, 0], "coverage_penalty": 0.1},
            r"alignments must return one array \(batch, memory steps\)",
        ),
        (
            {
                "alignments": lambda s: s[0][:, :2],
                "coverage_penalty": 0.1,
                "memory_mask": np.ones((2, 9), bool),
            },
            "alignments must return .*, of 9 steps as memory_mask has them",
        ),
        ({"memory_mask": 3}, r"memory_mask must have shape \[batch, memory steps\]"),
        ({"sampler": lambda *_: None, "seed": 0}, "sampler must .* Got NoneType"),
        ({"sampler": lambda *_: 1, "seed": 0}, "sampler must return .* Got int"),
        ({"sampler": unrolled.sampler(), "seed": "a"}, "seed must be a whole number"),
        ({"sampler": unrolled.sampler(), "seed": 1.5}, "seed must be a whole number"),
        (
            {"sampler": unrolled.sampler(), "seed": np.array([1, 2])},
            "seed must be a whole number, one key of JAX",
        ),
        ({"prefix": [[0], [1, 2]]}, r"prefix must hold tokens .* Got \[\[0\], \["),
        ({"prefix": [[0], [3]]}, "prefix must hold tokens below the .* 3. Got 3"),
        ({"min_length": True}, "min_length must be a whole number from 0"),
        ({"repetition_penalty": None}, "repetition_penalty must be a positive number"),
        ({"diversity_penalty": "1"}, "diversity_penalty must be positive"),
        (
            {"diversity_penalty": np.inf, "groups": 2, "beam_width": 2},
            "diversity_penalty must be positive.*inf",
        ),
        ({"length_penalty": [0.5]}, "length_penalty must be a number"),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else "",
)
def test_arguments_that_do_not_fit(case, given, said):
    with pytest.raises(ValueError, match=said):
        case(**given)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda t, s, m: s, "step must return \\(logits, states\\). Got"),
        (lambda t, s, m: (jnp.zeros((2, 1, 3)), s), "step must return logits"),
        (lambda t, s, m: (jnp.zeros((2, 3), "int32"), s), "step must return logits"),
        (lambda t, s, m: (jnp.zeros((2, 3)), s[:, :1]), "step must return states like"),
        (lambda t, s, m: (jnp.zeros((2, 0)), s), "step must return logits"),
        (7, "step must be a function. Got 7"),
    ],
)
def test_steps_that_do_not_fit(step, said):
    with pytest.raises(ValueError, match=said):
        unrolled.search(step, np.zeros((2, 2), "float32"), start=0, max_steps=3)


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 0.0},
        {"temperature": None},
        {"top_k": 0},
        {"top_k": True},
        {"top_p": 0},
        {"top_p": "1"},
        {"min_p": 1.5},
        {"min_p": [0.1]},
    ],
    ids=str,
)
def test_samplers_that_do_not_fit(given):
    with pytest.raises(ValueError, match=f"^{next(iter(given))} must be"):
        unrolled.sampler(**given)


def test_states_need_rows():
    with pytest.raises(ValueError, match="states must hold arrays"):
        unrolled.search(lambda t, s, m: (t, s), [], start=0, max_steps=3)


def test_chance_inside_jit_is_handed_in(case):
    run = jax.jit(lambda start: case(start=start, sampler=unrolled.sampler()).tokens)
    with pytest.raises(ValueError, match="seed must be given inside jit"):
        run(jnp.zeros(B, "int32"))
    with pytest.raises(ValueError, match="end must be a token, a whole number"):
        jax.jit(lambda end: case(end=end).tokens)(1)


@pytest.mark.parametrize("size", [640, 1000])
def test_the_best_of_many_are_those_of_top_k(size, rng):
    """Equals in order, also where all are forbidden; with a block that is not whole."""
    scores = rng.normal(size=(7, size)).astype("float32")
    scores[0] = -np.inf
    scores[1] = 0
    scores[2, 5::3] = 9
    scores[3, :-4] = -np.inf
    scores[4, ::70] = 7
    scores = jnp.asarray(scores)
    expected = jax.lax.top_k(scores, 5)[1]
    np.testing.assert_array_equal(beam.best(scores, 5), expected)
