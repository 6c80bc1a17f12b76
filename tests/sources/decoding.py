"""Decoding in float64 NumPy, written from the papers: hypotheses are lists of tokens.

GNMT (Wu et al., 2016) for scores, CTRL (Keskar et al., 2019) for repetition, Fan et al.
(2018), Holtzman et al. (2020) and Nguyen et al. (2024) for what is left to draw from,
Vijayakumar et al. (2016) for groups.
"""

import itertools

import numpy as np
from autograd import numpy as anp


class Model:
    """A plain recurrent decoder that attends over a memory; one row."""

    def __init__(self, rng, vocabulary, units, entries):
        """Random weights; `entries` is S."""
        draw = lambda *shape: rng.normal(0, 1, shape)  # noqa: E731
        self.table, self.recurrent = draw(vocabulary, units), draw(units, units)
        self.out = 2 * draw(units, vocabulary)
        self.entries, self.units = entries, units

    def step(self, token, h, memory):
        """Logits, h and alignments after one token."""
        scores = memory @ h
        alignments = np.exp(scores - scores.max())
        alignments /= alignments.sum()
        context = alignments @ memory
        h = np.tanh(self.table[token] + h @ self.recurrent + context)
        return h @ self.out, h, alignments


def log_softmax(logits):
    """Along the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def follow(model, tokens, h, memory, start):
    """The log-probability of tokens, and alignments at each step, and the last h."""
    total, alignments, last = 0.0, [], start
    for token in tokens:
        logits, h, at = model.step(last, h, memory)
        total += log_softmax(logits)[token]
        alignments.append(at)
        last = token
    return total, np.array(alignments), h


def gnmt(log_prob, length, coverage, alpha, beta, mask=None):
    """Equation 14: s(Y, X) = log P / lp(Y) + cp(X; Y)."""
    penalty = (5 + length) ** alpha / (5 + 1) ** alpha
    covered = coverage if mask is None else coverage[mask]
    return log_prob / penalty + beta * np.log(np.minimum(covered, 1.0)).sum()


def everything(model, h, memory, start, end, room, alpha=0.0, beta=0.0, mask=None):
    """Every hypothesis with its score, best first."""
    others = [t for t in range(len(model.table)) if t != end]
    found = [
        (*body, end)
        for length in range(room)
        for body in itertools.product(others, repeat=length)
    ]
    found += itertools.product(others, repeat=room)
    return _ranked(found, model, h, memory, start, alpha, beta, mask)


def _ranked(found, model, h, memory, start, alpha, beta, mask):
    scored = []
    for tokens in found:
        log_prob, alignments, _ = follow(model, tokens, h, memory, start)
        coverage = alignments.sum(0)
        score = gnmt(log_prob, len(tokens), coverage, alpha, beta, mask)
        scored.append((score, tokens, log_prob))
    return sorted(scored, key=lambda each: -each[0])


def beam(model, h, memory, start, end, room, width, alpha=0.0, beta=0.0):
    """Beam search: those that have ended stay in the beam as they are."""
    vocabulary, kept = len(model.table), [()]
    for _ in range(room):
        candidates = [t for t in kept if t and t[-1] == end]
        for tokens in kept:
            if not tokens or tokens[-1] != end:
                candidates += [(*tokens, t) for t in range(vocabulary)]
        ranked = _ranked(candidates, model, h, memory, start, alpha, beta, None)
        kept = [tokens for _, tokens, _ in ranked[:width]]
    return ranked[:width]


def groups(model, h, memory, start, end, room, width, many, diversity):
    """Groups of beams; each loses for tokens of groups before it at the step."""
    vocabulary, size = len(model.table), width // many
    kept = [[()] for _ in range(many)]
    for at in range(room):
        used = np.zeros(vocabulary)
        for group in range(many):
            worth = []
            for tokens in kept[group]:
                over = bool(tokens) and tokens[-1] == end
                nexts = [tokens] if over else [(*tokens, t) for t in range(vocabulary)]
                for each in nexts:
                    value = follow(model, each, h, memory, start)[0]
                    value -= 0 if over else diversity * used[each[-1]]
                    worth.append((value, each))
            worth.sort(key=lambda pair: -pair[0])
            kept[group] = [each for _, each in worth[:size]]
            for each in kept[group]:
                if len(each) == at + 1:
                    used[each[-1]] += 1
    flat = [each for group in kept for each in group]
    return _ranked(flat, model, h, memory, start, 0.0, 0.0, None)


def filtered(logits, temperature=1.0, top_k=None, top_p=None, min_p=None):
    """Of one row the logits that are left to draw from, others -inf."""
    logits = np.array(logits, "float64") / temperature
    if top_k is not None:
        for place in np.argsort(-logits)[top_k:]:
            logits[place] = -np.inf
    if top_p is not None:
        shares, total = np.exp(log_softmax(logits)), 0.0
        for place in np.argsort(-logits):
            if total >= top_p:
                logits[place] = -np.inf
            total += shares[place]
    if min_p is not None:
        shares = np.exp(log_softmax(logits))
        logits[shares < min_p * shares.max()] = -np.inf
    return logits


def repeated(logits, seen, penalty):
    """Of one row the logits with those that were given before made lower."""
    logits = np.array(logits, "float64")
    for token in set(seen):
        positive = logits[token] > 0
        logits[token] = logits[token] / penalty if positive else logits[token] * penalty
    return logits


def taught(weights, xs, known, feeds, back):
    """h' = tanh([x, k] W + h R + b), y = h' O + c, step by step; outputs (B, T, V).

    Where `feeds` is true a row reads ``back(y)`` of the step before in place of x.
    Differentiable by `autograd`.
    """
    h = anp.zeros((len(xs[0]), len(weights["R"])))
    own, outputs = None, []
    for t, x in enumerate(xs):
        read = x if own is None else anp.where(feeds[t][:, None], own, x)
        if known is not None:
            read = anp.concatenate([read, known[t]], axis=1)
        h = anp.tanh(read @ weights["W"] + h @ weights["R"] + weights["b"])
        y = h @ weights["O"] + weights["c"]
        own = back(y)
        outputs.append(y)
    return anp.stack(outputs, axis=1)


def softmax(logits):
    """Along the last axis; for `autograd`."""
    raised = anp.exp(logits - anp.max(logits, axis=-1, keepdims=True))
    return raised / anp.sum(raised, axis=-1, keepdims=True)
