"""Text to ids and back, by byte pairs that are learnt from texts."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from ..checks import is_count, require

# Ids that stand for no text; pieces of text come after them.
PAD, START, END = 0, 1, 2
_SPECIAL = {PAD: "<pad>", START: "<start>", END: "<end>"}
_FIRST = len(_SPECIAL)
_BYTES = 256


@keras.saving.register_keras_serializable("unrolled")
class Tokenizer:
    """Makes ids of a text, and the text of ids.

    A text is cut into pieces that were frequent where it was learnt. Below all of them
    are the 256 bytes of UTF-8, so that there is no text without ids, whatever its
    script, and ``decode(encode(text)) == text``. Ids 0, 1 and 2 are padding, start and
    end. No text has them: ``<end>`` in a text is these five characters.

    `train` makes one of texts. The package ``tokenizers`` does the work; the extra
    ``unrolled[text]`` installs it.

    Args:
        json: a tokenizer of the package ``tokenizers``, as its ``to_str()`` says it.

    Raises:
        ImportError: if ``tokenizers`` is not installed.
        ValueError: if `json` is no tokenizer.

    Example:
        >>> import unrolled
        >>> tokenizer = unrolled.Tokenizer.train(["the cat", "the hat"] * 2, 300)
        >>> ids = tokenizer.encode("the hat <end> \u0146")
        >>> tokenizer.pieces(ids)[:3]
        ['the', ' hat', ' ']
        >>> tokenizer.decode(ids)
        'the hat <end> \u0146'

    Source: byte pairs of Sennrich et al., 2016, over bytes as in Radford et al., 2019.
    """

    def __init__(self, json: str) -> None:
        self.json = json
        package = _package()
        try:
            self._pieces = package.Tokenizer.from_str(json)
        except Exception as error:  # the package raises no kind of its own
            raise ValueError(
                "json must be what a tokenizer of the package tokenizers says with "
                f"to_str(). Got {str(json)[:40]!r}, of which it says {error}: if it "
                "comes out of a file, the file is damaged."
            ) from error

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary_size: int = 8000) -> "Tokenizer":
        """Learn pieces of texts.

        Args:
            texts: of all languages that it is to know.
            vocabulary_size: V, the most ids there are, with the three that are no text
                and one for each byte. Few texts have fewer pieces. Default 8000.

        Raises:
            ImportError: if ``tokenizers`` is not installed.
            ValueError: if V leaves no room, or `texts` holds something else.
        """
        least = _FIRST + _BYTES
        require(
            is_count(vocabulary_size) and vocabulary_size >= least,
            "vocabulary_size",
            f"must be a whole number, at least {least}: {_FIRST} ids that are no text "
            f"and {_BYTES} bytes",
            repr(vocabulary_size),
            "pass 8000 for some ten thousand sentences",
        )
        texts = check_texts(texts)
        package = _package()
        # It makes room for all pieces before it looks for any, and there are no more
        # than there are bytes.
        most = _BYTES + sum(len(text.encode()) for text in texts)
        learnt = package.Tokenizer(package.models.BPE())
        byte_level = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
        learnt.pre_tokenizer = byte_level
        learnt.decoder = package.decoders.ByteLevel()
        trainer = package.trainers.BpeTrainer(
            vocab_size=min(int(vocabulary_size) - _FIRST, most),
            min_frequency=2,
            initial_alphabet=byte_level.alphabet(),
            show_progress=False,
        )
        learnt.train_from_iterator(texts, trainer)
        return cls(learnt.to_str())

    @property
    def vocabulary_size(self) -> int:
        """V, how many ids there are."""
        return _FIRST + self._pieces.get_vocab_size()

    def __repr__(self) -> str:
        return f"Tokenizer(vocabulary_size={self.vocabulary_size})"

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without start and end.

        Raises:
            ValueError: if `text` is no text.
        """
        (text,) = check_texts([text])
        ids = self._pieces.encode(text, add_special_tokens=False).ids
        return [_FIRST + n for n in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; those that are no text are passed over.

        Raises:
            ValueError: if these are no ids.
        """
        most = self.vocabulary_size
        own = [n - _FIRST for n in _check_ids(ids) if _FIRST <= n < most]
        return self._pieces.decode(own, skip_special_tokens=False)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """What each id stands for, to be shown; a byte alone may be no character."""
        return [_SPECIAL.get(n) or self.decode([n]) for n in _check_ids(ids)]

    def get_config(self) -> dict[str, Any]:
        """All of it, so that a model's file needs no other."""
        return {"json": self.json}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Tokenizer":
        """The inverse of `get_config`."""
        return cls(**config)


def check_texts(texts: Any, argument: str = "texts") -> Sequence[str]:
    """Texts as a list, if they are texts that have a form in UTF-8.

    Raises:
        ValueError: naming the first that is none.
    """
    require(
        not isinstance(texts, (str, bytes)) and isinstance(texts, Iterable),
        argument,
        "must be a list of texts",
        repr(texts)[:60],
        "put one text into a list, [text]",
    )
    texts = list(texts)
    for place, text in enumerate(texts):
        require(
            isinstance(text, str),
            f"{argument}[{place}]",
            "must be a text, str",
            f"{type(text).__name__} {repr(text)[:40]}",
            "bytes become text with .decode(), numbers with str()",
        )
        require(
            not any("\ud800" <= letter <= "\udfff" for letter in text),
            f"{argument}[{place}]",
            "must have a form in UTF-8, without halves of characters",
            ascii(text)[:40],
            "read the file that it is from with its own encoding",
        )
    return texts


def _check_ids(ids: Any) -> list[int]:
    """Whole numbers in a row, as a list.

    Raises:
        ValueError: if they are none.
    """
    array = np.asarray(list(ids) if isinstance(ids, Iterable) else ids)
    require(
        array.ndim == 1 and (array.size == 0 or array.dtype.kind in "iu"),
        "ids",
        "must be whole numbers, those of one text",
        repr(ids)[:60],
        "of several texts decode one after the other",
    )
    return [int(number) for number in array.tolist()]


def _package() -> Any:
    """The package that does the work, with the parts of it that are used."""
    try:
        import tokenizers
        from tokenizers import (  # noqa: F401  parts of it
            decoders,
            models,
            pre_tokenizers,
            trainers,
        )
    except ImportError as error:
        raise ImportError(
            "Tokenizer needs the package tokenizers: pip install 'unrolled[text]'"
        ) from error
    return tokenizers
