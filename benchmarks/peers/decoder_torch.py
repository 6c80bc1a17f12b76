"""The decoder as a loop in torch, and its matrix products alone.

As one would write it for speed: what reads no state is one product for all steps, the
others of a layer are one for input and state together, no memory is repeated for beams.
"""

from __future__ import annotations

import torch

from cases import Decoding
from peers import OPTION, Ready
from peers.decoder import END, SHOWN, START, arrays, products, weights


class Decoder:
    """A decoder with the shared weights."""

    def __init__(self, case: Decoding):
        self.case, self.layers = case, case.widths[2]
        given = arrays(case)
        self.given = {name: torch.from_numpy(a) for name, a in given.items()}
        self.weights = [self.given[name] for name in weights(given)]

    def begin(self) -> None:
        """What is the same at all steps."""
        given, units = self.given, self.case.widths[1]
        self.keys = given["memory"] @ given["keys"]
        first = given["kernel_0"]
        self.of_tokens = first[:units]
        below = [first[units:], *(given[f"kernel_{n}"] for n in range(1, self.layers))]
        self.kernels = [
            torch.cat([kernel, given[f"recurrent_{n}"]])
            for n, kernel in enumerate(below)
        ]

    def states(self, width: int = 1) -> tuple:
        """Before the first step, of B * K rows."""
        many = lambda a: a.repeat_interleave(width, 0) if width > 1 else a  # noqa: E731
        each = [
            (many(self.given[f"h_{n}"]), many(self.given[f"c_{n}"]))
            for n in range(self.layers)
        ]
        return each, torch.zeros_like(each[0][0])

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Their share of the lowest layer's gates."""
        x = torch.nn.functional.embedding(tokens, self.given["embeddings"])
        rows = x.reshape(-1, x.shape[-1])
        z = torch.addmm(self.given["bias_0"], rows, self.of_tokens)
        return z.view(*x.shape[:-1], -1)

    def step(self, z: torch.Tensor, states: tuple) -> tuple[torch.Tensor, tuple]:
        """The attention, from the tokens' share of the gates, and the states."""
        given, (each, y) = self.given, states
        after = []
        for n, (h, c) in enumerate(each):
            start = z if n == 0 else given[f"bias_{n}"]
            gates = torch.addmm(start, torch.cat([y, h], 1), self.kernels[n])
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            y = torch.sigmoid(o) * torch.tanh(c)
            after.append((y, c))
        memory = given["memory"]
        query = (y @ given["query"]).view(len(memory), -1, 1, y.shape[-1])
        score = torch.tanh(query + self.keys[:, None]) @ given["score"]
        context = torch.bmm(torch.softmax(score, -1), memory).view(y.shape)
        attention = torch.cat([y, context], 1) @ given["attention"]
        return attention, (after, attention)

    def logits(self, y: torch.Tensor) -> torch.Tensor:
        """Of rows."""
        return torch.addmm(self.given["output_bias"], y, self.given["output"])


def build_decoding(case: Decoding) -> Ready:
    """A gradient, or a search; or the products alone."""
    if OPTION == "products":
        return multiplied(case)
    decoder = Decoder(case)
    if case.mode == "training":
        return taught(decoder)
    search = greedy if case.mode == "greedy" else beam

    def run():
        with torch.inference_mode():
            return search(decoder)

    def results(found):
        return {name: a.numpy() for name, a in found.items()}

    return Ready(run, results)


def taught(decoder: Decoder) -> Ready:
    """The loss, and the gradients of weights and memory."""
    given = decoder.given
    moved = [*decoder.weights, given["memory"]]
    for each in moved:
        each.requires_grad_()
    tokens, targets = given["tokens"].long().T, given["targets"].long().T

    def run():
        decoder.begin()
        outputs, states = [], decoder.states()
        for z in decoder.embed(tokens):
            y, states = decoder.step(z, states)
            outputs.append(y)
        logits = decoder.logits(torch.cat(outputs))
        loss = torch.nn.functional.cross_entropy(logits, targets.reshape(-1))
        return loss.detach(), torch.autograd.grad(loss, moved)

    def results(result):
        loss, gradients = result
        names = [*weights(arrays(decoder.case)), "memory"]
        found = dict(zip(names, gradients, strict=True))
        named = {f"d{name}": found[name].numpy() for name in (*SHOWN, "memory")}
        return named | {"loss": loss.numpy()}

    return Ready(run, results)


def greedy(decoder: Decoder) -> dict[str, torch.Tensor]:
    """The likeliest token at every step."""
    rows, steps, _ = decoder.case.rows
    decoder.begin()
    states = decoder.states()
    last, found = torch.full((rows,), START), []
    for _ in range(steps):
        y, states = decoder.step(decoder.embed(last), states)
        last = decoder.logits(y).argmax(-1)
        found.append(last)
        if (last == END).all():
            break
    return {"tokens": torch.stack(found, 1)[:, None]}


def beam(decoder: Decoder) -> dict[str, torch.Tensor]:
    """The best hypotheses; those that have ended go on with the end token alone."""
    rows, steps, _ = decoder.case.rows
    width, vocabulary = decoder.case.beam, decoder.case.widths[0]
    decoder.begin()
    states = decoder.states(width)
    last = torch.full((rows * width,), START)
    scores = torch.full((rows, width), -torch.inf)
    scores[:, 0] = 0
    first = torch.arange(rows)[:, None] * width
    tokens = torch.zeros(rows, width, 0, dtype=torch.long)
    for n in range(steps):
        y, (each, attention) = decoder.step(decoder.embed(last), states)
        found = decoder.logits(y)
        found -= torch.logsumexp(found, -1, keepdim=True)
        if n:
            over = last == END
            if over.any():
                found[over] = -torch.inf
                found[over, END] = 0
        found += scores.view(-1, 1)
        scores, places = found.view(rows, -1).topk(width)
        last = (places % vocabulary).view(-1)
        parents = (first + places // vocabulary).view(-1)
        each = [(h[parents], c[parents]) for h, c in each]
        states = each, attention[parents]
        tokens = tokens.view(rows * width, -1)[parents].view(rows, width, -1)
        tokens = torch.cat([tokens, last.view(rows, width, 1)], -1)
        if (last == END).all():
            break
    return {"tokens": tokens, "scores": scores}


def multiplied(case: Decoding) -> Ready:
    """Every product as often as it must be made, in arrays that are there."""
    made = [
        (count, torch.rand(m, k), torch.rand(k, n), torch.empty(m, n))
        for count, m, k, n in products(case)
    ]

    def run():
        with torch.inference_mode():
            for count, a, b, out in made:
                for _ in range(count):
                    torch.mm(a, b, out=out)

    return Ready(run)
