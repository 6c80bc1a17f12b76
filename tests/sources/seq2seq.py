"""tfa.seq2seq of TensorFlow Addons 0.23: functions, decoders, samplers, beam search.

Each function has the name of a call in `tests/recorders/addons_seq2seq.py`, takes what
was given and the weights, and returns a row of arrays. Of a beam search plain numbers:
nothing is differentiated there.
"""

from __future__ import annotations

import numpy as plain
from autograd.tracer import getval

from . import attention, np

B, T, S, V = 3, 4, 5, 6
LENGTHS, MEMORY_LENGTHS = plain.array([4, 2, 3]), plain.array([5, 2, 4])
START, END = plain.array([1, 3, 0]), 2
_NONE = [[True] * S, [False] * S, [True, False, True, False, True]]


# --- functions ---


def hardmax(given, weights):
    """`hardmax`."""
    del weights
    best = plain.argmax(plain.round(getval(given["logits"])), axis=-1)
    return [plain.eye(V)[best]]


def cumprod(given, weights, *, axis=0, exclusive=False, reverse=False):
    """`safe_cumprod`, with the sum of logarithms written out."""
    del weights
    x = np.swapaxes(given["x"], axis, 0)
    x = x[::-1] if reverse else x
    logs = np.log(np.clip(x, plain.finfo("float64").tiny, 1.0))
    sums, total = [], 0.0 * logs[0]
    for row in logs:
        sums.append(total if exclusive else total + row)
        total = total + row
    found = np.exp(np.stack(sums))
    return [np.swapaxes(found[::-1] if reverse else found, axis, 0)]


def monotonic(given, weights, *, mode):
    """`monotonic_attention`, of a score whose sigmoid is the probability."""
    del weights
    choose, before = given["choose"], given["before"]
    if mode == "hard":
        choose, before = plain.round(getval(choose)), plain.eye(S)[[0, 2, 1]]
        return [attention._monotonic(choose - 0.5, before, mode)]
    return [attention._monotonic(np.log(choose / (1 - choose)), before, mode)]


def loss(
    given,
    weights,
    *,
    form="ids",
    average_across_timesteps=True,
    average_across_batch=True,
    sum_over_timesteps=False,
    sum_over_batch=False,
):
    """`sequence_loss`."""
    del weights
    logits = given["logits"]
    there = plain.ones((B, T))
    there[2], there[:, 3] = 0.0, 0.0
    counts = given["weights"] * there
    log_probs = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    targets = plain.eye(V)[[[1, 2, 0, 5], [3, 3, 1, 0], [4, 2, 0, 0]]]
    if form == "probabilities":
        targets = attention._softmax(given["targets"])
    each = -np.sum(targets * log_probs, axis=-1)
    if form == "function":
        each = np.sum(targets * logits**2, axis=-1)
    each = each * counts
    time = average_across_timesteps or sum_over_timesteps
    batch = average_across_batch or sum_over_batch
    if not (time or batch):
        return [each]
    axis = (0, 1) if time and batch else 1 if time else 0
    averaged = average_across_timesteps or average_across_batch
    size = np.sum(counts, axis) if averaged else plain.sum(getval(counts) != 0, axis)
    is_none = getval(size) == 0
    size = np.where(is_none, 1.0, size)
    return [np.where(is_none, 0.0, np.sum(each, axis) / size)]


def tiled(given, weights):
    """`tile_batch`."""
    del weights
    return [given[key][[0, 0, 1, 1, 2, 2]] for key in ("a", "b")]


def gathered(ids, parents, lengths, end):
    """`gather_tree`, as its kernel does it: back along each beam."""
    steps, rows, width = ids.shape
    found = plain.full(ids.shape, end)
    for row in range(rows):
        last = min(steps, lengths[row])
        for beam in range(width if last > 0 else 0):
            at = beam
            for time in reversed(range(last)):
                found[time, row, beam] = ids[time, row, at]
                at = parents[time, row, at]
            over = False
            for time in range(last):
                if over:
                    found[time, row, beam] = end
                over = over or found[time, row, beam] == end
    return found


# --- decoders ---


def _mask(options):
    """Which entries of the memory count."""
    kind = options[0][2].get("mask")
    if kind == "lengths":
        return plain.arange(S) < MEMORY_LENGTHS[:, None]
    return plain.array(_NONE) if kind == "none" else None


def _stepper(given, weights, attended, wrapper):
    """A step of the cell, ``(x, states) -> (y, states)``, and its first states."""
    states = [given["h"], given["c"]]
    if attended is None:
        own = attention._of(weights, "own/cell/")
        return lambda x, states: attention._lstm(own, x, states), states
    names = [f"memory_{n}" for n in range(len(attended))]
    weights = {**weights, **dict.fromkeys(names, given["memory"])}
    kinds = [
        [kind, {k: v for k, v in options.items() if k in ("mode", "probability_fn")}]
        for kind, _, options in attended
    ]
    for kind, options in kinds:
        if "Monotonic" in kind:
            options.setdefault("mode", "parallel")
    size = wrapper.get("attention_layer_size")
    layers = 0 if size is None else len(attended)
    mask = _mask(attended)

    def step(x, states):
        return attention.wrapper(
            weights,
            x,
            states,
            mechanisms=kinds,
            cell="lstm",
            mask=mask,
            output_attention=wrapper.get("output_attention", True),
            layers=layers,
        )

    width = given["memory"].shape[2] * len(attended)
    if size is not None:
        width = sum(size) if isinstance(size, list) else size
    first = [
        plain.eye(S)[[0] * B] if "Monotonic" in kind else plain.zeros((B, S))
        for kind, _ in kinds
    ]
    return step, [*states, plain.zeros((B, width)), *first]


def basic(
    given,
    weights,
    *,
    sampler,
    attention=None,
    wrapper=None,
    impute_finished=False,
    output_time_major=False,
    maximum_iterations=None,
    **unread,
):
    """`BasicDecoder` in `dynamic_decode`."""
    del unread
    wrapper = wrapper or {}
    step, states = _stepper(given, weights, attention, wrapper)
    finished, inputs, feed = _SAMPLERS[sampler](given)
    lengths = plain.zeros(B, int)
    outputs, chosen, shares, time = [], [], [], 0
    while not finished.all() and time != maximum_iterations:
        y, after = step(inputs, states)
        y = y @ weights["dense/kernel"] + weights["dense/bias"]
        ids, done, inputs, after = feed(time, y, after)
        shares.append(after[3:])
        lengths = plain.where(finished, lengths, time + 1)
        if impute_finished:
            rows = finished[:, None]
            after = [
                np.where(rows, old, new) for old, new in zip(states, after, strict=True)
            ]
            y = np.where(rows, 0.0, y)
            ids = plain.where(finished, 0, ids)
        states, finished = after, finished | done
        outputs.append(y)
        chosen.append(ids)
        time += 1
    axis = 0 if output_time_major else 1
    found = [np.stack(outputs, axis), np.stack(chosen, axis), *states]
    if wrapper.get("alignment_history"):
        found += [np.stack(each) for each in zip(*shares, strict=True)]
    return [*found, lengths]


def _taught(given, read=lambda y: None, choose=lambda y: None):
    """Reads x, or what is made of the outputs."""
    x = given["x"]

    def feed(time, y, states):
        ids = choose(y)
        ids = plain.argmax(getval(y), axis=-1) if ids is None else ids
        done = time + 1 >= LENGTHS
        # Past the end of all nobody reads.
        own = None if done.all() else read(time, y, ids)
        following = x[:, min(time + 1, T - 1)] if own is None else own
        return ids, done, following, states

    return LENGTHS == 0, x[:, 0], feed


def _training(given):
    return _taught(given, lambda time, y, ids: None)


def _greedy(given):
    """The likeliest; also what is drawn where nothing is left to chance."""
    table = given["table"]

    def feed(time, y, states):
        del time
        ids = plain.argmax(getval(y), axis=-1)
        return ids, ids == END, table[ids], states

    return plain.zeros(B, bool), table[START], feed


def _embedding_never(given):
    return _taught(given, lambda *_: None, lambda y: plain.full(B, -1))


def _embedding_always(given):
    return _taught(given, lambda time, y, ids: given["table"][ids])


def _output_never(given):
    return _taught(given, lambda *_: None, lambda y: plain.zeros(B, int))


def _output_always(given):
    return _taught(given, lambda time, y, ids: y, lambda y: plain.ones(B, int))


def _output_beside(given):
    beside, width = given["beside"], given["x"].shape[2] - 1
    x = np.concatenate([given["x"][:, :, :width], beside], axis=-1)

    def read(time, y, ids):
        del ids
        return np.concatenate([np.tanh(y[:, :width]), beside[:, time + 1]], axis=-1)

    return _taught({"x": x}, read, lambda y: plain.ones(B, int))


def _inference(given):
    def feed(time, y, states):
        del time
        return y, getval(y)[:, 0] > 0.6, 0.5 * y, states

    return plain.zeros(B, bool), given["x"][:, 0], feed


def _custom(given):
    x = given["x"]

    def feed(time, y, states):
        ids = plain.argmin(getval(y), axis=-1)
        done = plain.full(B, time >= 2) | (ids == 0)
        following = x[:, T - 2 - min(time, T - 2)]
        return ids, done, following, [states[0], 0.5 * states[1]]

    return plain.zeros(B, bool), x[:, -1], feed


_SAMPLERS = {
    "training": _training,
    "masked": _training,
    "greedy": _greedy,
    "sampled": _greedy,
    "embedding_never": _embedding_never,
    "embedding_always": _embedding_always,
    "output_never": _output_never,
    "output_always": _output_always,
    "output_beside": _output_beside,
    "inference": _inference,
    "custom": _custom,
}


# --- beam search ---


def beam(
    given,
    weights,
    *,
    width,
    attention=None,
    wrapper=None,
    dtype="float64",
    symbols=V,
    length_penalty_weight=0.0,
    coverage_penalty_weight=0.0,
    reorder_tensor_arrays=True,
    output_all_scores=False,
    output_time_major=False,
    maximum_iterations=None,
    **unread,
):
    """`BeamSearchDecoder` in `dynamic_decode`: candidate by candidate."""
    del unread
    wrapper = wrapper or {}
    lowest = float(plain.finfo(dtype).min)
    step, first = _stepper(given, weights, attention, wrapper)
    # Of each row its beams; a beam is what it has, and what it did last.
    rows = [
        [
            {
                "states": [each[row] for each in first],
                "total": 0.0 if n == 0 else -plain.inf,
                "done": n > 0,
                "length": 0,
                "covered": plain.zeros(S) if coverage_penalty_weight else None,
                "token": START[row] % symbols,
            }
            for n in range(width)
        ]
        for row in range(B)
    ]
    chosen, parents, scores, history, time = [], [], [], [], 0
    while time != maximum_iterations and not all(b["done"] for r in rows for b in r):
        logits, states = [None] * width, [None] * width
        for n in range(width):
            read = given["table"][[row[n]["token"] for row in rows]]
            before = [
                plain.stack(p)
                for p in zip(*(r[n]["states"] for r in rows), strict=True)
            ]
            y, states[n] = step(read, before)
            logits[n] = y @ weights["dense/kernel"] + weights["dense/bias"]
        history.append([[s[3:] for s in states], None])
        after, picked = [], []
        for row, beams in enumerate(rows):
            candidates = []
            for n, own in enumerate(beams):
                z = logits[n][row]
                log_probs = z - plain.log(plain.sum(plain.exp(z)))
                if own["done"]:
                    log_probs = plain.where(plain.arange(symbols) == END, 0.0, lowest)
                covered = own["covered"]
                if covered is not None and not own["done"]:
                    covered = covered + plain.mean([s[row] for s in states[n][3:]], 0)
                for token in range(symbols):
                    total = own["total"] + log_probs[token]
                    length = own["length"] + (token != END and not own["done"])
                    score = total / _penalty(length, length_penalty_weight)
                    if covered is not None and own["done"]:
                        shares = plain.where(covered == 0, 1.0, covered)
                        penalty = plain.sum(plain.log(plain.minimum(shares, 1.0)))
                        score = score + coverage_penalty_weight * penalty
                    candidates.append((score, n, token, total, covered))
            best = sorted(candidates, key=lambda each: -each[0])[:width]
            new = []
            for _, n, token, total, covered in best:
                own = beams[n]
                new.append(
                    {
                        "states": [each[row] for each in states[n]],
                        "total": total,
                        "done": own["done"] or token == END,
                        "length": own["length"] + (not own["done"]),
                        "covered": covered,
                        "token": token,
                    }
                )
            after.append(new)
            picked.append((best, [each[0] for each in candidates]))
        rows = after
        chosen.append([[each[2] for each in best] for best, _ in picked])
        parents.append([[each[1] for each in best] for best, _ in picked])
        shape = (B, width, symbols)
        scores.append(
            plain.reshape([every for _, every in picked], shape)
            if output_all_scores
            else [[each[0] for each in best] for best, _ in picked]
        )
        time += 1
    chosen, parents, scores = map(plain.array, (chosen, parents, scores))
    of = lambda key: plain.array([[own[key] for own in row] for row in rows])  # noqa: E731
    lengths = of("length")
    whole = gathered(chosen, parents, lengths.max(axis=1), END)
    out = [whole, scores, chosen, parents]
    if not output_time_major:
        out = [plain.swapaxes(each, 0, 1) for each in out]
    states = [
        plain.stack([[own["states"][n] for own in row] for row in rows])
        for n in range(len(first))
    ]
    if wrapper.get("alignment_history"):
        for n in range(len(attention)):
            # Time, row, beam, entry.
            each = plain.array([[beam[n] for beam in at] for at, _ in history])
            each = plain.swapaxes(each, 1, 2)
            if reorder_tensor_arrays:
                each = _in_order(each, parents, lengths)
            states.append(each.reshape(len(each), B * width, S))
    rest = [of("total"), of("done"), lengths]
    covered = [of("covered")] if coverage_penalty_weight else []
    return [*out, *states, lengths, *rest, *covered]


def _penalty(length, weight):
    """`_length_penalty`: in float32, whatever all else is in."""
    power, length = plain.float32(weight), plain.float32(length)
    return float((plain.float32(5) + length) ** power / plain.float32(6) ** power)


def _in_order(written, parents, lengths):
    """`gather_tree_from_array`."""
    steps, rows, width = parents.shape
    places = plain.broadcast_to(plain.arange(width), parents.shape)
    places = gathered(places, parents, lengths.max(axis=1), width + 1)
    found = written.copy()
    for time in range(steps):
        for row in range(rows):
            for beam in range(width):
                if time < lengths[row, beam]:
                    found[time, row, beam] = written[time, row, places[time, row, beam]]
    return found


def tree(given, weights):
    """`gather_tree`."""
    del given, weights
    rng = plain.random.RandomState(0)
    ids = rng.randint(V, size=(T, B, 3))
    parents = rng.randint(3, size=(T, B, 3))
    return [ids, parents, gathered(ids, parents, [4, 2, 9], END)]
