"""LSTMs that walk along frequency inside a time step, and grids of cells."""

from __future__ import annotations

from . import np, sigmoid


def time_freq_lstm(
    weights,
    x,
    states,
    *,
    feature_size,
    frequency_skip=1,
    cell_clip=None,
    forget_bias=1.0,
):
    """`TimeFreqLSTMCell` of TensorFlow 1.15's contrib.rnn; Sainath and Li, 2016.

    One state: c and m of each frequency in turn.
    """
    (state,) = states
    units = weights["B"].shape[0] // 4
    m_prev_freq = np.zeros((x.shape[0], units))
    outputs, after = [], []
    for fq in range(int((x.shape[1] - feature_size) / frequency_skip) + 1):
        start = fq * frequency_skip
        c = state[:, 2 * fq * units : (2 * fq + 1) * units]
        m = state[:, (2 * fq + 1) * units : (2 * fq + 2) * units]
        rows = np.concatenate([x[:, start : start + feature_size], m, m_prev_freq], 1)
        i, j, f, o = np.split(rows @ weights["W_0"] + weights["B"], 4, axis=1)
        if "W_F_diag" in weights:
            f = f + weights["W_F_diag"] * c
            i = i + weights["W_I_diag"] * c
        c = _clipped(sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(j), cell_clip)
        if "W_O_diag" in weights:
            o = o + weights["W_O_diag"] * c
        m = m_prev_freq = sigmoid(o) * np.tanh(c)
        outputs.append(m)
        after.extend([c, m])
    return np.concatenate(outputs, axis=1), [np.concatenate(after, axis=1)]


def _clipped(c, limit):
    return c if limit is None else np.clip(c, -limit, limit)


def grid_lstm(
    weights,
    x,
    states,
    *,
    feature_size,
    frequency_skip,
    num_frequency_blocks,
    start_freqindex_list=(0,),
    **options,
):
    """`GridLSTMCell` of TensorFlow 1.15's contrib.rnn.

    Kalchbrenner et al., 2015, arXiv:1507.01526; peepholes, Sainath and Li, 2016.
    States: c and m of each frequency, block by block.
    """
    blocks = list(zip(start_freqindex_list, num_frequency_blocks, strict=True))
    features = _make_tf_features(x, 0, feature_size, frequency_skip, blocks)
    return _compute(weights, "", features, states, **options)


def bidirectional_grid_lstm(
    weights,
    x,
    states,
    *,
    feature_size,
    frequency_skip,
    num_frequency_blocks,
    start_freqindex_list=(0,),
    backward_slice_offset=0,
    **options,
):
    """`BidirectionalGridLSTMCell` of TensorFlow 1.15's contrib.rnn.

    States: those of `grid_lstm` forwards, then backwards.
    """
    blocks = list(zip(start_freqindex_list, num_frequency_blocks, strict=True))
    sizes = (feature_size, frequency_skip, blocks)
    forward = _make_tf_features(x, 0, *sizes)
    backward = _make_tf_features(x, backward_slice_offset, *sizes)
    backward = [block[::-1] for block in backward]
    half = len(states) // 2
    y_fwd, fwd = _compute(weights, "fwd/", forward, states[:half], **options)
    y_bwd, bwd = _compute(weights, "bwd/", backward, states[half:], **options)
    return np.concatenate([y_fwd, y_bwd], axis=1), fwd + bwd


def _make_tf_features(x, slice_offset, feature_size, frequency_skip, blocks):
    """Of each block the features of each of its frequencies."""
    after = np.zeros((x.shape[0], max(slice_offset, 0)))
    before = np.zeros((x.shape[0], max(-slice_offset, 0)))
    padded = np.concatenate([before, x, after], axis=1)
    features = []
    for first, count in blocks:
        first = first + max(slice_offset, 0)
        starts = [first + f * frequency_skip for f in range(count)]
        features.append([padded[:, s : s + feature_size] for s in starts])
    return features


def _compute(
    weights,
    scope,
    features,
    states,
    *,
    share_time_frequency_weights=False,
    couple_input_forget_gates=False,
    cell_clip=None,
    forget_bias=1.0,
):
    """All blocks of one direction."""
    given = iter(states)
    outputs, after = [], []
    for block, windows in enumerate(features):

        def of(name, block=block):
            # Matrices are in shards; here, of one.
            shard = "_0" if name in ("W_f", "W_t") else ""
            return weights.get(f"{scope}{name}_{block}{shard}")

        def split(z):
            if couple_input_forget_gates:
                i, j, o = np.split(z, 3, axis=1)
                return i, j, None, o
            return np.split(z, 4, axis=1)

        def seen(z, gate, own, c_freq, c_time, of=of):
            """A gate's pre-activation with what it sees through peepholes."""
            by_freq = of(f"W_{gate}_diag_{own}f")
            if by_freq is None:
                return z
            return z + by_freq * c_freq + of(f"W_{gate}_diag_{own}t") * c_time

        time = "freq" if share_time_frequency_weights else "time"
        units = of("B_f").shape[0] // (3 if couple_input_forget_gates else 4)
        m_prev_freq = c_prev_freq = np.zeros((windows[0].shape[0], units))
        for window in windows:
            c_prev_time, m_prev_time = next(given), next(given)
            cell_inputs = np.concatenate([window, m_prev_time, m_prev_freq], axis=1)
            freq = time_z = cell_inputs @ of("W_f") + of("B_f")
            if not share_time_frequency_weights:
                time_z = cell_inputs @ of("W_t") + of("B_t")
            i_freq, j_freq, f_freq, o_freq = split(freq)
            i_time, j_time, f_time, o_time = split(time_z)
            before = (c_prev_freq, c_prev_time)

            i_freq = sigmoid(seen(i_freq, "I", "freq", *before))
            i_time = sigmoid(seen(i_time, "I", time, *before))
            if couple_input_forget_gates:
                f_freq, f_time = 1.0 - i_freq, 1.0 - i_time
            else:
                f_freq = sigmoid(seen(f_freq, "F", "freq", *before) + forget_bias)
                f_time = sigmoid(seen(f_time, "F", time, *before) + forget_bias)
            c_freq = f_freq * c_prev_freq + i_freq * np.tanh(j_freq)
            c_time = f_time * c_prev_time + i_time * np.tanh(j_time)
            now = c_freq, c_time = (
                _clipped(c_freq, cell_clip),
                _clipped(c_time, cell_clip),
            )
            m_freq = sigmoid(seen(o_freq, "O", "freq", *now)) * np.tanh(c_freq)
            m_time = sigmoid(seen(o_time, "O", time, *now)) * np.tanh(c_time)

            m_prev_freq, c_prev_freq = m_freq, c_freq
            outputs.extend([m_time, m_freq])
            after.extend([c_time, m_time])
    return np.concatenate(outputs, axis=1), after


def grid_rnn(
    weights,
    x,
    states,
    *,
    cell,
    num_dims,
    input_dims=(0,),
    output_dims=(0,),
    priority_dims=(0,),
    non_recurrent_dims=(),
    tied=False,
    forget_bias=1.0,
):
    """`GridRNNCell` of TensorFlow 1.15's contrib.grid_rnn.

    Kalchbrenner et al., 2015, arXiv:1507.01526. `cell` is the scope of the inner cell;
    what is not recurrent has relu. States: of each recurrent dimension c and m, or m
    alone.
    """
    with_c = "lstm" in cell
    c_prev, m_prev = [None] * num_dims, [None] * num_dims
    given = iter(states)
    recurrent = [d for d in range(num_dims) if d not in non_recurrent_dims]
    for d in recurrent:
        c_prev[d] = next(given) if with_c else None
        m_prev[d] = next(given)
    parts = np.split(x, len(input_dims), axis=1)
    for part, d in zip(parts, input_dims, strict=True):
        m_prev[d] = part @ weights[f"project_m_{d}"]
        if with_c:
            c_prev[d] = part @ weights[f"project_c_{d}"]

    new_output, new_state = [None] * num_dims, [None] * num_dims
    others = [d for d in range(num_dims) if d not in priority_dims]
    for group in (others, priority_dims):
        now = [
            m if new is None else new for m, new in zip(m_prev, new_output, strict=True)
        ]
        *rest, last = now
        inputs = np.concatenate([np.zeros((x.shape[0], 0)), *rest], axis=1)
        for d in group:
            place = "" if tied else f"cell_{d}/"
            if d in non_recurrent_dims:
                scope = f"non_recurrent/{place}fully_connected/"
                rows = np.concatenate([inputs, last], axis=1)
                z = rows @ weights[scope + "weights"] + weights[scope + "biases"]
                new_output[d] = np.maximum(z, 0.0)
                continue
            scope = f"recurrent/{place}{cell}/"
            own = {
                name[len(scope) :]: value
                for name, value in weights.items()
                if name.startswith(scope)
            }
            new_output[d], new_state[d] = _inner(
                cell, own, inputs, c_prev[d], last, forget_bias
            )
    after = [state for d in recurrent for state in new_state[d]]
    return np.concatenate([new_output[d] for d in output_dims], axis=1), after


def _inner(cell, weights, x, c, h, forget_bias):
    """A step of `BasicRNNCell`, `GRUCell`, `BasicLSTMCell` or `LSTMCell`."""
    both = np.concatenate([x, h], axis=1)
    if cell == "gru_cell":
        gates = both @ weights["gates/kernel"] + weights["gates/bias"]
        r, u = np.split(sigmoid(gates), 2, axis=1)
        both = np.concatenate([x, r * h], axis=1)
        candidate = both @ weights["candidate/kernel"] + weights["candidate/bias"]
        h = u * h + (1.0 - u) * np.tanh(candidate)
        return h, [h]
    z = both @ weights["kernel"] + weights["bias"]
    if cell == "basic_rnn_cell":
        h = np.tanh(z)
        return h, [h]
    i, j, f, o = np.split(z, 4, axis=1)
    if "w_f_diag" in weights:
        i, f = i + weights["w_i_diag"] * c, f + weights["w_f_diag"] * c
    c = sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(j)
    if "w_o_diag" in weights:
        o = o + weights["w_o_diag"] * c
    h = sigmoid(o) * np.tanh(c)
    return h, [c, h]
