"""torch.nn recurrent layers, and a bare training loop for the main job."""

from __future__ import annotations

import time

import numpy as np
import torch

from cases import EXAMPLES, Case
from peers import DEVICE, THREADS, Ready, UnsupportedError
from peers.decoder_torch import build_decoding
from peers.given import arrays, digits
from peers.user_cells_torch import build_user_cell

torch.set_num_threads(THREADS)
torch.set_num_interop_threads(1)

__all__ = [
    "build",
    "build_decoding",
    "build_fit",
    "build_stream",
    "build_user_cell",
    "sgemm",
    "versions",
]

LAYERS = {"SimpleRNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}
ORDER = {"SimpleRNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}  # of Keras's gates


def versions() -> dict[str, str]:
    """Torch, and its BLAS."""
    found = {"torch": torch.__version__, "mkl": str(torch.backends.mkl.is_available())}
    if DEVICE == "cuda":
        gpu = torch.cuda.get_device_name()
        found |= {"cuDNN": str(torch.backends.cudnn.version()), "on": gpu}
    return found


def sgemm(size: int) -> float:
    """Best rate of a square float32 product, in floating operations a second."""
    a, b, out = (torch.rand(size, size) for _ in range(3))
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def make_layer(case: Case):
    """The layer with the shared weights, rows in torch's gate order."""
    if case.recurrent_dropout:
        raise UnsupportedError("no recurrent dropout")
    given = arrays(case)
    u, cell = case.shape[3], case.cell
    layer = LAYERS[cell](case.shape[2], u, batch_first=True, bias=case.use_bias)

    def rows(a):  # (K, G*U) -> (G*U, K)
        blocks = np.split(a, len(ORDER[cell]), axis=-1)
        return torch.tensor(np.concatenate([blocks[i] for i in ORDER[cell]], -1).T)

    with torch.no_grad():
        layer.weight_ih_l0.copy_(rows(given.kernel))
        layer.weight_hh_l0.copy_(rows(given.recurrent_kernel))
        if given.bias is not None:
            two = given.bias if cell == "GRU" else [given.bias, 0 * given.bias]
            layer.bias_ih_l0.copy_(rows(two[0]))
            layer.bias_hh_l0.copy_(rows(two[1]))
    return layer.to(DEVICE, getattr(torch, case.dtype)), given


def finished(result):
    """The same, once the device has it."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return result


def build(case: Case) -> Ready:
    """Forward in inference mode, or forward and all gradients."""
    if case.mask == "random":
        raise UnsupportedError("packed sequences are right-padded only")
    layer, given = make_layer(case)
    dtype = getattr(torch, case.dtype)
    training = case.mode == "training"
    options = {"dtype": dtype, "device": DEVICE, "requires_grad": training}
    x = torch.tensor(given.x, **options)
    states = [torch.tensor(s[None], **options) for s in given.states]
    start_state = tuple(states) if len(states) == 2 else states[0]
    rnn = torch.nn.utils.rnn
    lengths = None if given.mask is None else torch.tensor(given.mask.sum(1))

    def forward():
        if lengths is None:
            return layer(x, start_state)[0]
        packed = rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        y = layer(packed, start_state)[0]
        return rnn.pad_packed_sequence(y, True, total_length=case.shape[1])[0]

    if not training:

        def run():
            with torch.inference_mode():
                return finished(forward())

        return Ready(run, lambda y: {"y": y.float().cpu().numpy()})

    wanted = [x, *layer.parameters(), *states]
    dy = torch.tensor(given.dy, dtype=dtype, device=DEVICE)

    def run():
        y = forward()
        return finished((y, torch.autograd.grad(y, wanted, dy)))

    def results(result):
        y, gradients = result
        named = {"y": y.detach(), "dx": gradients[0]}
        return {name: a.float().cpu().numpy() for name, a in named.items()}

    return Ready(run, results)


def build_fit(case: Case) -> Ready:
    """One epoch: slice a batch, forward, loss, backward, Adam; nothing else."""
    x, y = (torch.tensor(a) for a in digits())
    y = y.long()
    layer = LAYERS[case.cell](28, case.shape[3], batch_first=True)
    head = torch.nn.Linear(case.shape[3], 10)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], 1e-3)
    batch = case.shape[0]

    def run():
        for rows in torch.randperm(len(x)).split(batch):
            out, _ = layer(x[rows])
            loss = torch.nn.functional.cross_entropy(head(out[:, -1]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return Ready(run, steps=-(-EXAMPLES // batch))


def build_stream(case: Case) -> Ready:
    """torch.nn's cell in inference mode, NumPy in and out."""
    layer, given = make_layer(case)
    cells = {"LSTM": torch.nn.LSTMCell, "GRU": torch.nn.GRUCell}
    cell = cells.get(case.cell, torch.nn.RNNCell)(case.shape[2], case.shape[3])
    weights = layer.state_dict().items()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in weights})
    states = [torch.tensor(s) for s in given.states]
    state = tuple(states) if len(states) == 2 else states[0]
    x = given.x[:, 0]

    def run():
        nonlocal state
        with torch.inference_mode():
            state = cell(torch.from_numpy(x), state)
            return (state[0] if isinstance(state, tuple) else state).numpy()

    return Ready(run, lambda y: {"y": y})
