"""Vectors for tokens, and how alike tokens are by them."""

from __future__ import annotations

import abc

import numpy as np

__all__ = ["DenseVectors", "SparseVectors", "TokenVectors"]


class TokenVectors(abc.ABC):
    """A vector for each of V tokens. A token of which nothing is known has the zero vector, which is like no other."""

    @abc.abstractmethod
    def cosines(self, ids: np.ndarray) -> np.ndarray:
        """Return cos(x, y) = x . y / (|x| |y|) for the vectors x of n tokens and those of all, float32 (n, V)."""


class DenseVectors(TokenVectors):
    """Vectors of D numbers each.

    Parameters
    ----------
    vectors : ndarray of float32, shape (V, D)

    >>> DenseVectors(np.array([[2, 0], [3, 3], [0, 0]], np.float32)).cosines([0]).round(3)
    array([[1.   , 0.707, 0.   ]], dtype=float32)
    """

    def __init__(self, vectors: np.ndarray):
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)).astype(vectors.dtype)
        self._units = vectors / np.where(lengths > 0, lengths, 1)[:, None]

    def cosines(self, ids: np.ndarray) -> np.ndarray:
        return self._units[ids] @ self._units.T


class SparseVectors(TokenVectors):
    """Vectors of which almost all numbers are zero: the others are listed in any order, none twice.

    Parameters
    ----------
    rows : ndarray of int, shape (N,)
        Of which token each number is.
    columns : ndarray of int, shape (N,)
        Where in its vector it stands, 0 to V - 1.
    values : ndarray of float, shape (N,)
    size : int
        V.

    >>> SparseVectors(np.array([0, 1, 1]), np.array([2, 2, 0]), np.array([5.0, 3.0, 4.0]), 3).cosines([0]).round(3)
    array([[1. , 0.6, 0. ]], dtype=float32)
    """

    def __init__(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, size: int):
        lengths = np.sqrt(np.bincount(rows, np.square(values), size))
        self._rows, self._columns, self._size = rows, columns, size
        self._units = values / np.where(lengths > 0, lengths, 1)[rows]

    def cosines(self, ids: np.ndarray) -> np.ndarray:
        found = np.empty((len(ids), self._size), np.float32)
        for row, token in zip(found, ids, strict=True):
            own = self._rows == token
            vector = np.zeros(self._size)
            vector[self._columns[own]] = self._units[own]
            row[:] = np.bincount(self._rows, self._units * vector[self._columns], self._size)
        return found
