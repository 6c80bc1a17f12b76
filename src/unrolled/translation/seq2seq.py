"""A Keras model that reads a text and writes another."""

import itertools
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from jax import numpy as jnp

from .._borrowed import set_keras_mask
from ..arguments import KW_ONLY, Declared
from ..cells.affine import check_positive
from ..checks import require
from ..decoding import Decoder, SequenceLoss
from ..decoding.samplers import Sampler
from . import cells, translate
from .encoder import Bridge, Encoder
from .pairs import Follow, Pairs, check_pairs
from .tokenizer import PAD, Tokenizer


@keras.saving.register_keras_serializable("unrolled")
class Seq2Seq(Declared, keras.Model):
    """An encoder, a bridge and a decoder with attention: texts in, texts out.

    The encoder reads the source; its outputs are the memory that the decoder looks
    into at every step, and where each of its layers ends, the decoder's layer of that
    level begins. `from_texts` makes a model and its tokenizer of pairs of texts.

    Args:
        tokenizer: a `Tokenizer`; it is in the model's file.
        units: U, the width of every cell, and of the attention. Default 256.
        embedding_size: E, the width of an embedded id. Default: `units`.
        cell: ``"lstm"``, ``"gru"`` or another of our cells by name; or a function of
            the units that makes one. Default ``"lstm"``.
        num_layers: how many layers encoder and decoder have each. Default 2.
        bidirectional: the encoder's lowest layer reads both ways, and a dense layer
            joins its final states. Default True.
        residual: layers above the lowest add what they read to what they give, where
            the two are as wide, as in GNMT. Default False.
        dropout: share of numbers dropped of what each layer reads. Default 0.
        mechanism: how the decoder looks: any `AttentionMechanism`. Default:
            `BahdanauAttention` of U.
        target_tokenizer: of the texts that are written. Default: `tokenizer`.
        max_length: the most tokens of a text, of either side. Default 128.

    Call arguments:
        inputs: a dict of ids, ``"source"`` ``(B, S)``, which ends with the end token,
            and ``"target"`` ``(B, T)``, which begins with the start token; 0 is
            padding. `Pairs` makes both.
        training: whether dropout is on.

    Returns:
        Logits ``(B, T, V)`` of what comes after each token of the target.

    Raises:
        ValueError: if an argument does not fit.

    Example:
        >>> import unrolled
        >>> pairs = [("1 2", "2 1"), ("3 4 5", "5 4 3")]
        >>> model = unrolled.Seq2Seq.from_texts(pairs, units=8, num_layers=1)
        >>> model.compile("adam")
        >>> history = model.fit(pairs, epochs=1, verbose=0)
        >>> len(model.translate(["1 2"], max_length=4))
        1

    Source: Bahdanau et al., 2015, arXiv:1409.0473; layers as in GNMT, Wu et al., 2016.
    """

    tokenizer: Any
    units: int = 256
    _: KW_ONLY
    embedding_size: int | None = None
    cell: Any = "lstm"
    num_layers: int = 2
    bidirectional: bool = True
    residual: bool = False
    dropout: float = 0.0
    mechanism: Any = None
    target_tokenizer: Any = None
    max_length: int = 128

    def convert(self, name: str, value: Any) -> Any:
        """Out of a file a tokenizer comes as its configuration."""
        if name.endswith("tokenizer") and isinstance(value, dict):
            return keras.saving.deserialize_keras_object(value)
        return super().convert(name, value)

    def __post_init__(self) -> None:
        for name in ("tokenizer", "target_tokenizer"):
            given = getattr(self, name)
            require(
                isinstance(given, Tokenizer)
                or (given is None and name == "target_tokenizer"),
                name,
                "must be a Tokenizer",
                repr(given)[:60],
                "Seq2Seq.from_texts makes one, or Tokenizer.train(texts)",
            )
        embedding = self.units if self.embedding_size is None else self.embedding_size
        check_positive(
            units=self.units,
            embedding_size=embedding,
            num_layers=self.num_layers,
            max_length=self.max_length,
        )
        require(
            0 <= self.dropout < 1,
            "dropout",
            "must be at least 0 and less than 1, a share of the numbers",
            self.dropout,
            "pass 0.2 for a fifth",
        )
        policy = self.dtype_policy
        make = cells.maker(self.cell, self.units, policy)
        rest = (self.num_layers, self.residual, self.dropout)
        self.encoder = Encoder(
            self.tokenizer.vocabulary_size,
            embedding,
            make,
            self.num_layers,
            self.bidirectional,
            self.residual,
            self.dropout,
            dtype=policy,
            name="encoder",
        )
        self.encoder.build((None, None))
        self.bridge = Bridge(self.encoder, dtype=policy, name="bridge")
        words = (self.target_tokenizer or self.tokenizer).vocabulary_size
        self.decoder = Decoder(
            keras.layers.Embedding(words, embedding, mask_zero=True, dtype=policy),
            cells.attending(make, *rest, self.mechanism, self.units, policy),
            keras.layers.Dense(words, dtype=policy),
            dtype=policy,
            name="decoder",
        )
        memory = (None, None, self.encoder.width)
        self.decoder.build((None, None), memory_shape=memory)
        self.supports_masking = True
        self.searches = translate.Searches(self)
        self.build()

    @classmethod
    def from_texts(
        cls,
        pairs: Sequence[tuple[str, str]],
        units: int = 256,
        *,
        vocabulary_size: int = 8000,
        **options: Any,
    ) -> "Seq2Seq":
        """A model with a tokenizer learnt from both sides of these pairs.

        Args:
            pairs: ``[(source text, target text), ...]``.
            units: U. Default 256.
            vocabulary_size: V at most, as `Tokenizer.train` takes it. Default 8000.
            options: further arguments of the model.

        Raises:
            ImportError: if ``tokenizers`` is not installed.
            ValueError: if an argument does not fit.
        """
        sources, targets = check_pairs(pairs)
        tokenizer = Tokenizer.train([*sources, *targets], vocabulary_size)
        return cls(tokenizer, units, **options)

    def build(self, inputs_shape: Any = None) -> None:
        """All parts were built when they were made: their sizes were known."""
        del inputs_shape

    # --- taught ---

    def read(self, source: Any, training: bool = False) -> tuple[Any, Any, list[Any]]:
        """What the decoder is given of ids ``(B, S)``.

        Returns:
            The memory ``(B, S, M)``, its mask, and the decoder's first states.
        """
        memory, mask, states = self.encoder(source, training=training)
        states = self.bridge(states)
        return memory, mask, states if self.num_layers > 1 else states[0]

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Logits of what comes next; see the class."""
        require(
            isinstance(inputs, dict) and {"source", "target"} <= set(inputs),
            "inputs",
            'must be a dict of ids, {"source": (B, S), "target": (B, T)}',
            sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__,
            "unrolled.Pairs makes it of texts; for texts alone call translate",
        )
        memory, mask, states = self.read(inputs["source"], training)
        return self.decoder(
            inputs["target"],
            initial_state=states,
            memory=memory,
            memory_mask=mask,
            training=training,
        )

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
        """Logits of what comes next, without a trace."""
        del training
        words = self.decoder.output_layer.units
        return keras.KerasTensor((*inputs["target"].shape, words), self.compute_dtype)

    def compile(
        self, optimizer: Any = "adam", loss: Any = None, **options: Any
    ) -> None:
        """As of any Keras model; the loss is by default a `SequenceLoss`."""
        super().compile(optimizer, loss=loss or SequenceLoss(), **options)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """As it was compiled, out of a file."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *,
        validation_data: Any = None,
        callbacks: Any = None,
        **options: Any,
    ) -> Any:
        """As of any Keras model; or of pairs of texts.

        Args:
            x: ``[(source text, target text), ...]``; `Pairs`, which has further
                options; or whatever gives such batches.
            y: None for pairs.
            batch_size: of pairs of texts. Default 64.
            validation_data: as x.
            callbacks: of Keras.
            options: as Keras takes them.
        """
        x = self._batches(x, batch_size, shuffle=options.get("shuffle", True))
        validation = self._batches(validation_data, batch_size, shuffle=False)
        if isinstance(x, Pairs):
            require(
                not options.get("validation_split"),
                "validation_split",
                "cuts arrays, not pairs of texts",
                options.get("validation_split"),
                "pass validation_data=pairs[:100], say, and fit pairs[100:]",
            )
            # Pairs have an order of their own, which can be resumed.
            options["shuffle"] = False
            follow = Follow(x)
            if isinstance(callbacks, keras.callbacks.CallbackList):
                callbacks.append(follow)
            else:
                callbacks = [*keras.tree.flatten(callbacks or []), follow]
            batch_size = None
        return super().fit(
            x,
            y,
            batch_size,
            validation_data=validation,
            callbacks=callbacks,
            **options,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> Any:
        """As of any Keras model; or of pairs of texts, as `fit` takes them."""
        x = self._batches(x, batch_size, shuffle=False)
        batch_size = None if isinstance(x, Pairs) else batch_size
        return super().evaluate(x, y, batch_size, **options)

    def predict(self, x: Any, *given: Any, **options: Any) -> Any:
        """As of any Keras model: the logits for ids, as `Pairs` makes them."""
        require(
            not _hold_text(x),
            "x",
            "must be ids, as unrolled.Pairs makes them",
            "texts",
            "predict gives logits; translate writes a text for each text",
        )
        return super().predict(x, *given, **options)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        """As Keras, whose logits have no mask once a gradient was taken."""
        set_keras_mask(y_pred, jnp.asarray(x["target"]) != PAD)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _batches(self, data: Any, batch_size: int | None, shuffle: bool) -> Any:
        """Batches of pairs of texts; anything else as it is."""
        held, once = data, isinstance(data, Iterator)
        if isinstance(data, Generator):
            held = [*itertools.islice(data, 1)]
            data = _again(held, data)
        elif not isinstance(data, (list, tuple, np.ndarray)):
            held = None
        empty, texts = held is not None and not len(held), _hold_text(held)
        require(
            not (empty or (once and texts) or isinstance(data, (zip, map, str))),
            "x",
            "must be a list of pairs of texts, Pairs, or batches of ids",
            "nothing" if empty else type(data).__name__,
            "what is read once becomes a list with list(zip(sources, targets))",
        )
        if not texts:
            return data
        pairs: Any = data
        return Pairs(
            pairs,
            self.tokenizer,
            64 if batch_size is None else batch_size,
            target_tokenizer=self.target_tokenizer,
            max_length=self.max_length,
            shuffle=shuffle,
        )

    # --- free ---

    def translate(
        self,
        texts: Sequence[str],
        *,
        beam_width: int = 1,
        max_length: int | None = None,
        length_penalty: float = 0.6,
        coverage_penalty: float = 0.0,
        sampler: Sampler | None = None,
        seed: Any = None,
        batch_size: int = 64,
        return_alignments: bool = False,
    ) -> Any:
        """Write a text for each text.

        Each search is compiled once for a number of rows and steps, of which there are
        few: texts of about one length go together.

        Args:
            texts: a list of texts. One of white space alone, or none, becomes ``""``.
            beam_width: K, how many hypotheses are kept. Default 1: greedy.
            max_length: the most tokens of a translation. Default: the model's.
            length_penalty: alpha of GNMT, for K above 1. Default 0.6.
            coverage_penalty: beta of GNMT. Default 0.
            sampler: draws tokens in place of search, as `sampler` makes it.
            seed: of the sampler. Default: another each time.
            batch_size: how many texts at once. Default 64.
            return_alignments: give as well where the decoder looked.

        Returns:
            A list of texts. With `return_alignments` also a list of named tuples, with
            the pieces of ``source`` and ``target``, and the ``shares`` ``(T, S)`` that
            each piece of the target had of the source; of several heads the mean.

        Raises:
            ValueError: if a text is none, or has more tokens than the model's
                `max_length`; cut it into sentences.
        """
        return translate.translate(
            self,
            texts,
            max_length=self.max_length if max_length is None else max_length,
            batch_size=batch_size,
            seed=seed,
            return_alignments=return_alignments,
            beam_width=beam_width,
            length_penalty=length_penalty,
            coverage_penalty=coverage_penalty,
            sampler=sampler,
        )


def _hold_text(data: Any) -> bool:
    """Whether these are texts, or pairs of them, and no numbers."""
    if not isinstance(data, (list, tuple, np.ndarray)) or not len(data):
        return False
    first = data[0]
    if isinstance(first, (list, tuple, np.ndarray)) and len(first):
        first = first[0]
    return isinstance(first, (str, bytes))


def _again(first: list[Any], rest: Iterator[Any]) -> Iterator[Any]:
    """A generator of which the first was looked at."""
    yield from first
    yield from rest
