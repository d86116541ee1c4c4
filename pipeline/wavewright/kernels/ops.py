"""Building blocks of the compiled loops: matrix-vector products, gates, thread barrier.

numba compiles them, so users need no compiler. A matrix is packed in groups of 64 rows, the group's
rows side by side for every few columns, so that its bytes are read once and in order: one column
of float32, two of bfloat16, or four of int8 at a time. Sums run down the columns in vector
registers, one lane per row, without horizontal additions.

int8 weights have one scale per row. Where the processor has AVX-512 VNNI, vectors are quantized to
16 bits and stored as two bytes; elsewhere int8 is widened to float32 before the product.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import float32, njit, types, void
from numba.core import cgutils
from numba.extending import intrinsic as _numba_intrinsic
from numba.extending import overload

from wavewright.kernels.compile import FASTMATH
from wavewright.kernels.packing import GROUP, LANES

_VECTORS = GROUP // LANES
_F32, _I32, _I8 = ir.FloatType(), ir.IntType(32), ir.IntType(8)
_F32V, _I32V = ir.VectorType(_F32, LANES), ir.VectorType(_I32, LANES)
_BYTES = ir.VectorType(_I8, 4 * LANES)


def intrinsic(function: Any) -> Any:
    """Untyped `numba.extending.intrinsic`: callers omit the function's first argument."""
    return _numba_intrinsic(function)


def _pointer(
    context: Any, builder: Any, kind: Any, array: Any, offset: Any, element: ir.Type
) -> Any:
    """Pointer to element `offset` of an array, cast to another element type."""
    data = context.make_array(kind)(context, builder, array).data
    moved = builder.gep(data, [offset])
    return builder.bitcast(moved, element.as_pointer())


def _load(builder: Any, pointer: Any, index: Any) -> Any:
    loaded = builder.load(builder.gep(pointer, [index]))
    loaded.align = 4
    return loaded


def _splat(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, vector.count), None)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_F32V, [_F32V, _F32V, _F32V])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
    return builder.call(function, [a, b, c])


def _accumulators(builder: Any, vector: ir.VectorType, count: int) -> list[Any]:
    slots = [cgutils.alloca_once(builder, vector) for _ in range(count)]
    for slot in slots:
        builder.store(ir.Constant(vector, None), slot)
    return slots


def _into(builder: Any, slot: Any, value: Any) -> None:
    builder.store(value, slot)


@intrinsic
def _group_float32(typing, w, w_at, x, columns, out, out_at):
    """out[out_at : +64] = one group of a float32 matrix times x; `columns` is even."""
    signature = void(w, types.intp, x, types.intp, out, types.intp)

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        weights = _pointer(context, builder, sig.args[0], args[0], args[1], _F32V)
        vector = _pointer(context, builder, sig.args[2], args[2], intp(0), _F32)
        result = _pointer(context, builder, sig.args[4], args[4], args[5], _F32V)
        slots = _accumulators(builder, _F32V, 2 * _VECTORS)
        half = builder.lshr(args[3], intp(1))
        with cgutils.for_range(builder, half, intp=intp) as loop:
            for odd in range(2):
                column = builder.add(builder.shl(loop.index, intp(1)), intp(odd))
                value = _splat(builder, _load(builder, vector, column), _F32V)
                first = builder.mul(column, intp(_VECTORS))
                for lane in range(_VECTORS):
                    slot = slots[odd * _VECTORS + lane]
                    weight = _load(builder, weights, builder.add(first, intp(lane)))
                    _into(builder, slot, _fma(builder, weight, value, builder.load(slot)))
        for lane in range(_VECTORS):
            total = builder.fadd(builder.load(slots[lane]), builder.load(slots[_VECTORS + lane]))
            builder.store(total, builder.gep(result, [intp(lane)])).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _group_bfloat16(typing, w, w_at, x, columns, out, out_at):
    """Like `_group_float32` for bfloat16, two columns a 32-bit word; x and sums are float32."""
    signature = void(w, types.intp, x, types.intp, out, types.intp)

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        weights = _pointer(context, builder, sig.args[0], args[0], args[1], _I32V)
        vector = _pointer(context, builder, sig.args[2], args[2], intp(0), _F32)
        result = _pointer(context, builder, sig.args[4], args[4], args[5], _F32V)
        slots = _accumulators(builder, _F32V, 2 * _VECTORS)
        upper = ir.Constant(_I32V, [_I32(0xFFFF0000)] * LANES)
        sixteen = ir.Constant(_I32V, [_I32(16)] * LANES)
        half = builder.lshr(args[3], intp(1))
        with cgutils.for_range(builder, half, intp=intp) as loop:
            column = builder.shl(loop.index, intp(1))
            values = [
                _splat(builder, _load(builder, vector, builder.add(column, intp(odd))), _F32V)
                for odd in range(2)
            ]
            first = builder.mul(loop.index, intp(_VECTORS))
            for lane in range(_VECTORS):
                word = _load(builder, weights, builder.add(first, intp(lane)))
                parts = [builder.shl(word, sixteen), builder.and_(word, upper)]
                for odd, part in enumerate(parts):
                    slot = slots[odd * _VECTORS + lane]
                    weight = builder.bitcast(part, _F32V)
                    _into(builder, slot, _fma(builder, weight, values[odd], builder.load(slot)))
        for lane in range(_VECTORS):
            total = builder.fadd(builder.load(slots[lane]), builder.load(slots[_VECTORS + lane]))
            builder.store(total, builder.gep(result, [intp(lane)])).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _group_int8(typing, w, w_at, quantized, columns, sums, scales, scale, out, out_at):
    """One group of an int8 matrix times a 16-bit vector, by vpdpbusd.

    `quantized` holds the vector's high bytes, then its low bytes; its value is
    scale * (256 * (high - 128) + low), so out = scales * scale *
    (256 * (w . high - 128 * sums) + w . low), where `sums` are the row sums of w.
    """
    signature = void(
        w, types.intp, quantized, types.intp, sums, scales, types.float32, out, types.intp
    )

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        weights = _pointer(context, builder, sig.args[0], args[0], args[1], _BYTES)
        bytes_of = [
            _pointer(context, builder, sig.args[2], args[2], where, _I32)
            for where in (intp(0), args[3])
        ]
        rows = [
            _pointer(context, builder, sig.args[4], args[4], args[8], _I32V),
            _pointer(context, builder, sig.args[5], args[5], args[8], _F32V),
        ]
        result = _pointer(context, builder, sig.args[7], args[7], args[8], _F32V)
        kind = ir.FunctionType(_I32V, [_I32V, _BYTES, _BYTES])
        product = cgutils.get_or_insert_function(builder.module, kind, _VNNI)
        slots = _accumulators(builder, _I32V, 2 * _VECTORS)
        quarter = builder.lshr(args[3], intp(2))
        with cgutils.for_range(builder, quarter, intp=intp) as loop:
            values = [
                builder.bitcast(_splat(builder, _load(builder, pointer, loop.index), _I32V), _BYTES)
                for pointer in bytes_of
            ]
            first = builder.mul(loop.index, intp(_VECTORS))
            for lane in range(_VECTORS):
                weight = _load(builder, weights, builder.add(first, intp(lane)))
                for which, value in enumerate(values):
                    slot = slots[which * _VECTORS + lane]
                    _into(builder, slot, builder.call(product, [builder.load(slot), value, weight]))
        factor = _splat(builder, args[6], _F32V)
        for lane in range(_VECTORS):
            offset = builder.shl(
                _load(builder, rows[0], intp(lane)), ir.Constant(_I32V, [_I32(7)] * LANES)
            )
            upper = builder.sitofp(builder.sub(builder.load(slots[lane]), offset), _F32V)
            lower = builder.sitofp(builder.load(slots[_VECTORS + lane]), _F32V)
            whole = _fma(builder, upper, ir.Constant(_F32V, [_F32(256.0)] * LANES), lower)
            scaled = builder.fmul(builder.fmul(whole, factor), _load(builder, rows[1], intp(lane)))
            builder.store(scaled, builder.gep(result, [intp(lane)])).align = 4
        return context.get_dummy_value()

    return signature, generate


_VNNI = "llvm.x86.avx512.vpdpbusd.512"


@intrinsic
def _group_int8_widened(typing, w, w_at, x, columns, scales, out, out_at):
    """One group of an int8 matrix times a float32 vector, on any processor."""
    signature = void(w, types.intp, x, types.intp, scales, out, types.intp)

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        weights = _pointer(context, builder, sig.args[0], args[0], args[1], _I32V)
        vector = _pointer(context, builder, sig.args[2], args[2], intp(0), _F32)
        scales = _pointer(context, builder, sig.args[4], args[4], args[6], _F32V)
        result = _pointer(context, builder, sig.args[5], args[5], args[6], _F32V)
        slots = _accumulators(builder, _F32V, 2 * _VECTORS)
        quarter = builder.lshr(args[3], intp(2))
        with cgutils.for_range(builder, quarter, intp=intp) as loop:
            first = builder.mul(loop.index, intp(_VECTORS))
            for lane in range(_VECTORS):
                word = _load(builder, weights, builder.add(first, intp(lane)))
                for place in range(4):
                    column = builder.add(builder.shl(loop.index, intp(2)), intp(place))
                    value = _splat(builder, _load(builder, vector, column), _F32V)
                    up = ir.Constant(_I32V, [_I32(24 - 8 * place)] * LANES)
                    down = ir.Constant(_I32V, [_I32(24)] * LANES)
                    number = builder.sitofp(builder.ashr(builder.shl(word, up), down), _F32V)
                    slot = slots[place % 2 * _VECTORS + lane]
                    _into(builder, slot, _fma(builder, number, value, builder.load(slot)))
        for lane in range(_VECTORS):
            total = builder.fadd(builder.load(slots[lane]), builder.load(slots[_VECTORS + lane]))
            scaled = builder.fmul(total, _load(builder, scales, intp(lane)))
            builder.store(scaled, builder.gep(result, [intp(lane)])).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _panel(typing, w, at, columns, count, x, out, out_at):
    """out[out_at : +16] = 16 rows times x, stored as `count` blocks of 16x1 from block `at`."""
    signature = void(w, types.intp, columns, types.intp, x, out, types.intp)

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        start = builder.mul(args[1], intp(LANES))
        weights = _pointer(context, builder, sig.args[0], args[0], start, _F32V)
        places = _pointer(context, builder, sig.args[2], args[2], args[1], ir.IntType(64))
        vector = _pointer(context, builder, sig.args[4], args[4], intp(0), _F32)
        result = _pointer(context, builder, sig.args[5], args[5], args[6], _F32V)
        slots = _accumulators(builder, _F32V, 4)
        with cgutils.for_range(builder, builder.lshr(args[3], intp(2)), intp=intp) as loop:
            four_places = _load(builder, places, loop.index)
            for i, slot in enumerate(slots):
                block = builder.add(builder.shl(loop.index, intp(2)), intp(i))
                column = builder.and_(builder.lshr(four_places, intp(16 * i)), intp(0xFFFF))
                value = _splat(builder, _load(builder, vector, column), _F32V)
                weight = _load(builder, weights, block)
                _into(builder, slot, _fma(builder, weight, value, builder.load(slot)))
        sums = [builder.load(slot) for slot in slots]
        total = builder.fadd(builder.fadd(sums[0], sums[1]), builder.fadd(sums[2], sums[3]))
        builder.store(total, result).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _square_panel(typing, w, at, columns, count, x, out, out_at):
    """out[out_at : +4] = 4 rows times x, stored as `count` blocks of 4x4 from block `at`."""
    signature = void(w, types.intp, columns, types.intp, x, out, types.intp)
    four = ir.VectorType(_F32, 4)

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        start = builder.mul(args[1], intp(LANES))
        weights = _pointer(context, builder, sig.args[0], args[0], start, _F32V)
        places = _pointer(context, builder, sig.args[2], args[2], args[1], ir.IntType(64))
        vector = _pointer(context, builder, sig.args[4], args[4], intp(0), _F32)
        result = _pointer(context, builder, sig.args[5], args[5], args[6], four)
        slots = _accumulators(builder, _F32V, 4)
        again = ir.Constant(_I32V, [_I32(lane % 4) for lane in range(LANES)])
        with cgutils.for_range(builder, builder.lshr(args[3], intp(2)), intp=intp) as loop:
            four_places = _load(builder, places, loop.index)
            for i, slot in enumerate(slots):
                block = builder.add(builder.shl(loop.index, intp(2)), intp(i))
                column = builder.and_(builder.lshr(four_places, intp(16 * i)), intp(0xFFFF))
                place = builder.bitcast(builder.gep(vector, [column]), four.as_pointer())
                loaded = builder.load(place)
                loaded.align = 4
                value = builder.shuffle_vector(loaded, ir.Constant(four, ir.Undefined), again)
                weight = _load(builder, weights, block)
                _into(builder, slot, _fma(builder, weight, value, builder.load(slot)))
        sums = [builder.load(slot) for slot in slots]
        total = builder.fadd(builder.fadd(sums[0], sums[1]), builder.fadd(sums[2], sums[3]))
        columns_of = [
            builder.shuffle_vector(
                total,
                ir.Constant(_F32V, ir.Undefined),
                ir.Constant(ir.VectorType(_I32, 4), [_I32(4 * row + i) for row in range(4)]),
            )
            for i in range(4)
        ]
        added = builder.fadd(
            builder.fadd(columns_of[0], columns_of[1]), builder.fadd(columns_of[2], columns_of[3])
        )
        builder.store(added, result).align = 4
        return context.get_dummy_value()

    return signature, generate


def _constant(value: float) -> Any:
    return ir.Constant(_F32V, [_F32(value)] * LANES)


def _int_constant(value: int) -> Any:
    return ir.Constant(_I32V, [_I32(value)] * LANES)


#: Polynomial coefficients of exp(r) on [-ln 2 / 2, ln 2 / 2].
_EXP_COEFFICIENTS = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    0.16666665459,
    0.5,
)


def _exp(builder: Any, x: Any) -> Any:
    """e**x of a vector with a relative error below 2e-7; x is clamped to [-87, 87]."""
    for name, bound in (("minnum", 87.0), ("maxnum", -87.0)):
        kind = ir.FunctionType(_F32V, [_F32V, _F32V])
        limit = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32")
        x = builder.call(limit, [x, _constant(bound)])
    kind = ir.FunctionType(_F32V, [_F32V])
    nearest = cgutils.get_or_insert_function(builder.module, kind, f"llvm.rint.v{LANES}f32")
    n = builder.call(nearest, [builder.fmul(x, _constant(1.4426950408889634))])
    r = _fma(builder, n, _constant(-0.693359375), x)
    r = _fma(builder, n, _constant(2.12194440e-4), r)
    p = _constant(_EXP_COEFFICIENTS[0])
    for term in _EXP_COEFFICIENTS[1:]:
        p = _fma(builder, p, r, _constant(term))
    p = builder.fadd(_fma(builder, builder.fmul(p, r), r, r), _constant(1.0))
    exponent = builder.add(builder.fptosi(n, _I32V), _int_constant(127))
    return builder.fmul(p, builder.bitcast(builder.shl(exponent, _int_constant(23)), _F32V))


def _sigmoid(builder: Any, x: Any) -> Any:
    e = _exp(builder, builder.fneg(x))
    return builder.fdiv(_constant(1.0), builder.fadd(_constant(1.0), e))


def _tanh(builder: Any, x: Any) -> Any:
    e = _exp(builder, builder.fadd(x, x))
    half = builder.fdiv(_constant(2.0), builder.fadd(_constant(1.0), e))
    return builder.fsub(_constant(1.0), half)


def _each_vector(context: Any, builder: Any, count: Any) -> Any:
    """Loop over the 16-lane vectors of `count` numbers."""
    intp = context.get_value_type(types.intp)
    return cgutils.for_range(builder, builder.lshr(count, intp(4)), intp=intp)


def _store(builder: Any, value: Any, pointer: Any, index: Any) -> None:
    builder.store(value, builder.gep(pointer, [index])).align = 4


@intrinsic
def exp(typing, x, at, count):
    """x[at : at + count] = e**x, in place; `count` is a multiple of 16 here and below."""

    def generate(context, builder, sig, args):
        values = _pointer(context, builder, sig.args[0], args[0], args[1], _F32V)
        with _each_vector(context, builder, args[2]) as loop:
            value = _exp(builder, _load(builder, values, loop.index))
            _store(builder, value, values, loop.index)
        return context.get_dummy_value()

    return void(x, types.intp, types.intp), generate


@intrinsic
def copy(typing, x, x_at, out, out_at, count):
    """out[out_at : + count] = x[x_at : + count]."""

    def generate(context, builder, sig, args):
        source = _pointer(context, builder, sig.args[0], args[0], args[1], _F32V)
        target = _pointer(context, builder, sig.args[2], args[2], args[3], _F32V)
        with _each_vector(context, builder, args[4]) as loop:
            _store(builder, _load(builder, source, loop.index), target, loop.index)
        return context.get_dummy_value()

    return void(x, types.intp, out, types.intp, types.intp), generate


@intrinsic
def add_scaled(typing, x, x_at, scale, out, out_at, count):
    """out[out_at : + count] += scale * x[x_at : + count]."""

    def generate(context, builder, sig, args):
        source = _pointer(context, builder, sig.args[0], args[0], args[1], _F32V)
        target = _pointer(context, builder, sig.args[3], args[3], args[4], _F32V)
        factor = _splat(builder, args[2], _F32V)
        with _each_vector(context, builder, args[5]) as loop:
            value = _load(builder, source, loop.index)
            value = _fma(builder, value, factor, _load(builder, target, loop.index))
            _store(builder, value, target, loop.index)
        return context.get_dummy_value()

    return void(x, types.intp, types.float32, out, types.intp, types.intp), generate


@intrinsic
def add_and_scale(typing, x, x_at, scale, out, out_at, count, rectified):
    """out[out_at : + count] = scale * (out + x[x_at : + count]), then ReLU if `rectified`."""

    def generate(context, builder, sig, args):
        source = _pointer(context, builder, sig.args[0], args[0], args[1], _F32V)
        target = _pointer(context, builder, sig.args[3], args[3], args[4], _F32V)
        factor = _splat(builder, args[2], _F32V)
        zero = ir.Constant(_F32V, None)
        with _each_vector(context, builder, args[5]) as loop:
            value = _load(builder, target, loop.index)
            value = builder.fadd(value, _load(builder, source, loop.index))
            value = builder.fmul(value, factor)
            above = builder.fcmp_ordered(">", value, zero)
            keep = builder.select(args[6], builder.select(above, value, zero), value)
            _store(builder, keep, target, loop.index)
        return context.get_dummy_value()

    signature = void(x, types.intp, types.float32, out, types.intp, types.intp, types.boolean)
    return signature, generate


@intrinsic
def gate(typing, x, at, out, out_at):
    """out[out_at : + 64] = tanh(x[at : + 64]) * sigmoid(x[at + 64 : + 64])."""

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        source = _pointer(context, builder, sig.args[0], args[0], args[1], _F32V)
        target = _pointer(context, builder, sig.args[2], args[2], args[3], _F32V)
        for lane in range(_VECTORS):
            content = _tanh(builder, _load(builder, source, intp(lane)))
            gated = _sigmoid(builder, _load(builder, source, intp(_VECTORS + lane)))
            _store(builder, builder.fmul(content, gated), target, intp(lane))
        return context.get_dummy_value()

    return void(x, types.intp, out, types.intp), generate


@intrinsic
def gru(typing, inputs, inputs_at, recurrent, at, new_bias, old, new, unit):
    """new[unit : + 64] = the next state of 64 GRU units.

    new = u * old + (1 - u) * e with e = tanh(inputs + r * (recurrent + new_bias)). Both `inputs`
    from `inputs_at` and `recurrent` from `at` hold 64 numbers each for the update gate u, the reset
    gate r and the candidate e.
    """
    signature = void(inputs, types.intp, recurrent, types.intp, new_bias, old, new, types.intp)

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        added = _pointer(context, builder, sig.args[0], args[0], args[1], _F32V)
        products = _pointer(context, builder, sig.args[2], args[2], args[3], _F32V)
        bias, before, after = (
            _pointer(context, builder, sig.args[i], args[i], args[7], _F32V) for i in (4, 5, 6)
        )
        for lane in range(_VECTORS):
            place = [intp(gate_number * _VECTORS + lane) for gate_number in range(3)]
            update, reset = (
                _sigmoid(
                    builder,
                    builder.fadd(
                        _load(builder, added, place[i]), _load(builder, products, place[i])
                    ),
                )
                for i in range(2)
            )
            past = builder.fadd(
                _load(builder, products, place[2]), _load(builder, bias, intp(lane))
            )
            content = _tanh(builder, _fma(builder, reset, past, _load(builder, added, place[2])))
            difference = builder.fsub(_load(builder, before, intp(lane)), content)
            value = _fma(builder, update, difference, content)
            _store(builder, value, after, intp(lane))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _largest(typing, x, count):
    """Largest magnitude in x[:count]."""

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        values = _pointer(context, builder, sig.args[0], args[0], intp(0), _F32V)
        slot = _accumulators(builder, _F32V, 1)[0]
        kind = ir.FunctionType(_F32V, [_F32V])
        size = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{LANES}f32")
        with _each_vector(context, builder, args[1]) as loop:
            value = builder.call(size, [_load(builder, values, loop.index)])
            best = builder.load(slot)
            larger = builder.fcmp_ordered(">", value, best)
            builder.store(builder.select(larger, value, best), slot)
        kind = ir.FunctionType(_F32, [_F32V])
        name = f"llvm.vector.reduce.fmax.v{LANES}f32"
        reduce = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(reduce, [builder.load(slot)])

    return types.float32(x, types.intp), generate


@intrinsic
def _split_bytes(typing, x, count, inverse, quantized):
    """Store round(x * inverse) + 32768 in `quantized`: all high bytes, then all low bytes."""
    bytes_ = ir.VectorType(_I8, LANES)

    def generate(context, builder, sig, args):
        intp = context.get_value_type(types.intp)
        values = _pointer(context, builder, sig.args[0], args[0], intp(0), _F32V)
        high, low = (
            _pointer(context, builder, sig.args[3], args[3], at, bytes_)
            for at in (intp(0), args[1])
        )
        factor = _splat(builder, args[2], _F32V)
        with _each_vector(context, builder, args[1]) as loop:
            value = _load(builder, values, loop.index)
            # positive, so that truncation rounds to nearest
            value = _fma(builder, value, factor, _constant(32768.5))
            number = builder.fptosi(value, _I32V)
            upper = builder.trunc(builder.lshr(number, _int_constant(8)), bytes_)
            builder.store(upper, builder.gep(high, [loop.index])).align = 1
            lower = builder.trunc(number, bytes_)
            builder.store(lower, builder.gep(low, [loop.index])).align = 1
        return context.get_dummy_value()

    return void(x, types.intp, types.float32, quantized), generate


def prepare(matrix: Any, x: Any, columns: int, quantized: Any) -> float:
    """Quantize a vector if a packed matrix is to be multiplied by bytes.

    Args:
        matrix: result of `pack` or `pack_sparse`.
        x: float32 (columns).
        columns: columns of the matrix; a multiple of 16 for int8.
        quantized: uint8 (at least 2 * columns), receives the vector for int8 matrices.

    Returns:
        The scale for `product`; 1 if the matrix is not multiplied by bytes.
    """
    raise NotImplementedError


@overload(prepare, inline="always", jit_options={"fastmath": FASTMATH})
def _prepare(matrix, x, columns, quantized):
    if not _uses_vnni(matrix):

        def skip(matrix, x, columns, quantized):
            return float32(1.0)

        return skip

    def quantize(matrix, x, columns, quantized):
        return _quantize(x, columns, quantized)

    return quantize


@njit(fastmath=FASTMATH)
def _quantize(x: Any, columns: int, quantized: Any) -> Any:
    """Quantize a vector to 16 bits, high bytes and low bytes; return the step size."""
    largest = max(_largest(x, columns), float32(1e-20))
    _split_bytes(x, columns, float32(32767.0) / largest, quantized)
    return largest / float32(32767.0)


def product(
    matrix: Any, first: int, last: int, columns: int, x: Any, quantized: Any, scale: float, out: Any
) -> None:
    """out[64 * first : 64 * last] = those rows of a packed matrix times a vector.

    Args:
        matrix: result of `pack` or `pack_sparse`.
        first, last: groups of 64 rows; ignored for pruned matrices, which are multiplied whole.
        columns: columns of the matrix, a multiple of 4.
        x: float32 (columns).
        quantized, scale: results of `prepare` for x.
        out: float32 (rows).
    """
    raise NotImplementedError


@overload(product, inline="always")
def _product(matrix, first, last, columns, x, quantized, scale, out):
    kind = matrix.types[0].dtype
    if kind == types.float32 and len(matrix.types) == 4:

        def sparse_16x1(matrix, first, last, columns, x, quantized, scale, out):
            starts, rows = matrix[2], matrix[3]
            for i in range(rows.shape[0]):
                at = starts[i]
                _panel(matrix[0], at, matrix[1], starts[i + 1] - at, x, out, rows[i] * 16)

        return sparse_16x1
    if kind == types.float32 and len(matrix.types) == 5:

        def sparse_4x4(matrix, first, last, columns, x, quantized, scale, out):
            starts, rows = matrix[2], matrix[3]
            for i in range(rows.shape[0]):
                at = starts[i]
                _square_panel(matrix[0], at, matrix[1], starts[i + 1] - at, x, out, rows[i] * 4)

        return sparse_4x4
    if kind == types.float32:

        def dense_float32(matrix, first, last, columns, x, quantized, scale, out):
            for group in range(first, last):
                _group_float32(matrix[0], group * columns * 64, x, columns, out, group * 64)

        return dense_float32
    if kind == types.uint16:

        def dense_bfloat16(matrix, first, last, columns, x, quantized, scale, out):
            for group in range(first, last):
                _group_bfloat16(matrix[0], group * columns * 64, x, columns, out, group * 64)

        return dense_bfloat16
    if _uses_vnni(matrix):

        def int8_vnni(matrix, first, last, columns, x, quantized, scale, out):
            for group in range(first, last):
                _group_int8(
                    matrix[0],
                    group * columns * 64,
                    quantized,
                    columns,
                    matrix[2],
                    matrix[1],
                    scale,
                    out,
                    group * 64,
                )

        return int8_vnni

    def int8_widened(matrix, first, last, columns, x, quantized, scale, out):
        for group in range(first, last):
            _group_int8_widened(
                matrix[0], group * columns * 64, x, columns, matrix[1], out, group * 64
            )

    return int8_widened


def _uses_vnni(matrix: Any) -> bool:
    """True for int8 with row sums, the format for vpdpbusd."""
    return matrix.types[0].dtype == types.int8 and len(matrix.types) == 3


@intrinsic
def _atomic_add(typing, array, index, value):
    """Atomically add to an element of an int64 array."""

    def generate(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1], ir.IntType(64))
        return builder.atomic_rmw("add", pointer, args[2], "acq_rel")

    return types.int64(array, types.intp, types.int64), generate


@intrinsic
def _atomic_read(typing, array, index):
    """Atomically read an element of an int64 array."""

    def generate(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1], ir.IntType(64))
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def _yield_processor(typing):
    """Call sched_yield, in case the awaited thread has no processor."""

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(_I32, [])
        function = cgutils.get_or_insert_function(builder.module, kind, "sched_yield")
        return builder.call(function, [])

    return types.int32(), generate


@njit
def barrier(counter: Any, threads: int, passed: int) -> int:
    """Wait until every thread has reached this barrier.

    Args:
        counter: int64 (1), shared by the threads and initially zero.
        threads: number of threads.
        passed: number of barriers that this thread has passed.

    Returns:
        passed + 1.
    """
    passed += 1
    if threads > 1:
        _atomic_add(counter, 0, 1)
        spins = 0
        while _atomic_read(counter, 0) < passed * threads:
            spins += 1
            if spins % 4096 == 0:
                _yield_processor()
    return passed
