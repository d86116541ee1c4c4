"""Matrices packed for `kernels`: what is done once, before the first sample."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LANES = 16  # numbers of a vector
GROUP = 64  # rows that are multiplied together
_LINE = 64  # bytes
_UNROLLED = 4  # blocks that are multiplied together
_COLUMNS = {"float32": 1, "bf16": 2, "int8": 4}  # of a 32-bit word

Packed = tuple[np.ndarray, ...]


def wide(matrix: Tensor, size: int) -> Tensor:
    """With columns of zeros up to a size."""
    return F.pad(matrix, (0, size - matrix.shape[1]))


def tall(rows: Tensor, size: int) -> Tensor:
    """With rows of zeros up to a size; of a vector, with zeros at its end."""
    missing = (0, size - len(rows))
    return F.pad(rows, missing if rows.ndim == 1 else (0, 0, *missing))


@cache
def has_vnni() -> bool:
    """Whether the loops are compiled for a processor that multiplies bytes by AVX-512 VNNI.

    That is this machine's, unless NUMBA_CPU_NAME or NUMBA_CPU_FEATURES names another; asking for
    an instruction that the one named lacks would abort the process.
    """
    from numba import config
    from numba.core.codegen import get_host_cpu_features

    settings: Any = config
    features: str | None = settings.CPU_FEATURES
    if features is None:
        features = str(get_host_cpu_features())  # type: ignore[no-untyped-call]
    return "+avx512vnni" in features.split(",")


def pack(matrix: Tensor, precision: str) -> Packed:
    """A matrix (rows, columns) as `kernels.product` reads it.

    Rows are filled up to a multiple of 64 and columns to one of 4, with zeros.

    Args:
        matrix: floating-point.
        precision: float32, bf16 or int8.

    Returns:
        Weights; for int8 also the rows' scales and, where the processor has VNNI, their sums.
    """
    rows, columns = padded(matrix.shape[0], GROUP), padded(matrix.shape[1], 4)
    whole = np.zeros((rows, columns), dtype=np.float32)
    whole[: matrix.shape[0], : matrix.shape[1]] = matrix.detach().float().cpu().numpy()
    if precision == "float32":
        return (_grouped(whole, 1),)
    if precision == "bf16":
        halves = torch.from_numpy(whole).to(torch.bfloat16).view(torch.int16).numpy()
        return (_grouped(halves.view(np.uint16), 2),)
    scales = np.maximum(np.abs(whole).max(axis=1), 1e-20).astype(np.float32) / np.float32(127)
    numbers = np.rint(whole / scales[:, None]).astype(np.int8)
    packed = (_grouped(numbers, 4), scales)
    return (*packed, numbers.sum(axis=1, dtype=np.int32)) if has_vnni() else packed


def pack_sparse(matrix: Tensor, block: tuple[int, int]) -> Packed:
    """A pruned matrix as its blocks that are not all zero, for `kernels.product`.

    Args:
        matrix: float32 (rows, columns); rows are a multiple of 64.
        block: rows and columns of a block: (16, 1) or (4, 4).

    Returns:
        Weights, 16 a block, one block row after the other; uint16 columns of the blocks; int64
        where each block row begins, and its number; for 4x4 blocks also their width, which tells
        them apart. Block rows stand in the order of their numbers of blocks, so that a loop over
        one after the other is as long as the last and the processor foresees its end.
    """
    high, wide = block
    whole = matrix.detach().float().cpu().numpy()
    rows, columns = whole.shape[0] // high, padded(whole.shape[1], wide) // wide
    whole = np.pad(whole, ((0, 0), (0, columns * wide - whole.shape[1])))
    blocks = whole.reshape(rows, high, columns, wide).transpose(0, 2, 1, 3)
    there: np.ndarray = np.any(blocks, axis=(2, 3))
    counts = -(-there.sum(axis=1) // _UNROLLED) * _UNROLLED
    order = np.argsort(-counts, kind="stable")
    weights = np.zeros((counts.sum(), LANES), dtype=np.float32)
    places = np.zeros(counts.sum(), dtype=np.uint16)
    starts = np.concatenate([[0], np.cumsum(counts[order])]).astype(np.int64)
    for start, row in zip(starts, order, strict=False):
        found = np.flatnonzero(there[row])
        weights[start : start + len(found)] = blocks[row, found].reshape(-1, LANES)
        places[start : start + len(found)] = found * wide
    packed = (_aligned(weights.reshape(-1)), _aligned(places), starts, order.astype(np.int64))
    return packed if wide == 1 else (*packed, np.array([wide], dtype=np.int64))


def padded(size: int, multiple: int) -> int:
    """The next multiple."""
    return -(-size // multiple) * multiple


def size_of(*matrices: Packed) -> int:
    """Bytes that are read to multiply by all of them."""
    return sum(array.nbytes for matrix in matrices for array in matrix)


def _grouped(whole: np.ndarray, columns: int) -> np.ndarray:
    """Groups of 64 rows; within one, for every few columns, all rows' numbers."""
    groups, words = whole.shape[0] // GROUP, whole.shape[1] // columns
    cut = whole.reshape(groups, GROUP, words, columns).transpose(0, 2, 1, 3)
    return _aligned(cut.reshape(-1))


def _aligned(array: np.ndarray) -> np.ndarray:
    """The same values at an address where no vector lies across two lines of the cache."""
    room = np.empty(array.nbytes + _LINE, dtype=np.uint8)
    start = -room.ctypes.data % _LINE
    placed = room[start : start + array.nbytes].view(array.dtype)
    placed[:] = array
    return placed
