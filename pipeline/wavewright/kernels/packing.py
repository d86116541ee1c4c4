"""Packing of weight matrices for `ops.product`, done once before the first sample."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LANES = 16  # numbers of a vector register
GROUP = 64  # rows that are multiplied together
_CACHE_LINE = 64  # bytes
_UNROLLED = 4  # blocks that are multiplied together

PackedMatrix = tuple[np.ndarray, ...]


def pad_columns(matrix: Tensor, size: int) -> Tensor:
    """Append columns of zeros up to a size."""
    return F.pad(matrix, (0, size - matrix.shape[1]))


def pad_rows(rows: Tensor, size: int) -> Tensor:
    """Append rows of zeros up to a size; zeros at the end of a vector."""
    missing = (0, size - len(rows))
    return F.pad(rows, missing if rows.ndim == 1 else (0, 0, *missing))


@cache
def has_vnni() -> bool:
    """True if loops are compiled for a processor with AVX-512 VNNI, which multiplies bytes.

    That is this machine's processor, unless NUMBA_CPU_NAME or NUMBA_CPU_FEATURES names another. An
    instruction that the named processor lacks would abort the process.
    """
    from numba import config
    from numba.core.codegen import get_host_cpu_features

    settings: Any = config
    features: str | None = settings.CPU_FEATURES
    if features is None:
        features = str(get_host_cpu_features())  # type: ignore[no-untyped-call]
    return "+avx512vnni" in features.split(",")


def pack(matrix: Tensor, precision: str) -> PackedMatrix:
    """Pack a dense matrix (rows, columns) for `ops.product`.

    Rows are zero-padded to a multiple of 64 and columns to a multiple of 4.

    Args:
        matrix: floating-point.
        precision: float32, bf16 or int8.

    Returns:
        Weights; for int8 also one scale a row and, where the processor has VNNI, the row sums.
    """
    rows, columns = round_up(matrix.shape[0], GROUP), round_up(matrix.shape[1], 4)
    dense = np.zeros((rows, columns), dtype=np.float32)
    dense[: matrix.shape[0], : matrix.shape[1]] = matrix.detach().float().cpu().numpy()
    if precision == "float32":
        return (_interleave_rows(dense, 1),)
    if precision == "bf16":
        bfloat16 = torch.from_numpy(dense).to(torch.bfloat16).view(torch.int16).numpy()
        return (_interleave_rows(bfloat16.view(np.uint16), 2),)
    scales = np.maximum(np.abs(dense).max(axis=1), 1e-20).astype(np.float32) / np.float32(127)
    int8 = np.rint(dense / scales[:, None]).astype(np.int8)
    packed = (_interleave_rows(int8, 4), scales)
    return (*packed, int8.sum(axis=1, dtype=np.int32)) if has_vnni() else packed


def pack_sparse(matrix: Tensor, block: tuple[int, int]) -> PackedMatrix:
    """Pack the nonzero blocks of a pruned matrix for `ops.product`.

    Block rows are sorted by their number of blocks, largest first. Neighbors then have equally
    long inner loops, whose end the branch predictor foresees.

    Args:
        matrix: float32 (rows, columns); rows are a multiple of 64.
        block: rows and columns of a block: (16, 1) or (4, 4).

    Returns:
        Weights, 16 a block, block row after block row; uint16 first column of each block; int64
        first block of each block row; int64 number of each block row; for 4x4 blocks also their
        width, whose presence marks the format.
    """
    height, width = block
    dense = matrix.detach().float().cpu().numpy()
    rows, columns = dense.shape[0] // height, round_up(dense.shape[1], width) // width
    dense = np.pad(dense, ((0, 0), (0, columns * width - dense.shape[1])))
    blocks = dense.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)
    nonzero: np.ndarray = np.any(blocks, axis=(2, 3))
    counts = -(-nonzero.sum(axis=1) // _UNROLLED) * _UNROLLED
    order = np.argsort(-counts, kind="stable")
    weights = np.zeros((counts.sum(), LANES), dtype=np.float32)
    first_columns = np.zeros(counts.sum(), dtype=np.uint16)
    starts = np.concatenate([[0], np.cumsum(counts[order])]).astype(np.int64)
    for start, row in zip(starts, order, strict=False):
        indices = np.flatnonzero(nonzero[row])
        weights[start : start + len(indices)] = blocks[row, indices].reshape(-1, LANES)
        first_columns[start : start + len(indices)] = indices * width
    packed = (_align(weights.reshape(-1)), _align(first_columns), starts, order.astype(np.int64))
    return packed if width == 1 else (*packed, np.array([width], dtype=np.int64))


def round_up(size: int, multiple: int) -> int:
    """Smallest multiple that is at least `size`."""
    return -(-size // multiple) * multiple


def packed_bytes(*matrices: PackedMatrix) -> int:
    """Total size of packed matrices in bytes."""
    return sum(array.nbytes for matrix in matrices for array in matrix)


def _interleave_rows(matrix: np.ndarray, columns: int) -> np.ndarray:
    """Flatten group by group of 64 rows; within a group, `columns` at a time of all its rows."""
    groups, steps = matrix.shape[0] // GROUP, matrix.shape[1] // columns
    tiles = matrix.reshape(groups, GROUP, steps, columns).transpose(0, 2, 1, 3)
    return _align(tiles.reshape(-1))


def _align(array: np.ndarray) -> np.ndarray:
    """Copy to the start of a cache line, so that no vector load crosses two lines."""
    buffer = np.empty(array.nbytes + _CACHE_LINE, dtype=np.uint8)
    start = -buffer.ctypes.data % _CACHE_LINE
    aligned = buffer[start : start + array.nbytes].view(array.dtype)
    aligned[:] = array
    return aligned
