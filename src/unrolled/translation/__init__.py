"""Texts in, texts out: a model that reads one sequence and writes another."""

from .pairs import Pairs
from .seq2seq import Seq2Seq
from .tokenizer import Tokenizer

__all__ = ["Pairs", "Seq2Seq", "Tokenizer"]
