"""Machine instructions that Python has no word for."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["atomic_increment", "load64", "ones", "pointer", "prefetch", "store64", "trailing_zeros"]


def _address(context, builder, array_type, array, index):
    pointer = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return builder.gep(pointer, [index])


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the cache line of array[index] (1-d, C order); no address can fault."""

    def codegen(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], *args)
        byte_pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        i32 = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [byte_pointer.type, i32, i32, i32])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        builder.call(function, [byte_pointer, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.none(array, types.intp), codegen


@intrinsic
def load64(typingctx, array, index):
    """Read the eight bytes of a uint8 array from `index` on, at any alignment, as a little-endian uint64."""

    def codegen(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], *args)
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(array, types.intp), codegen


@intrinsic
def store64(typingctx, array, index, value):
    """Write a uint64 as eight bytes into a uint8 array from `index` on, at any alignment, little-endian."""

    def codegen(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.uint64), codegen


@intrinsic
def atomic_increment(typingctx, array, index):
    """Add one to element `index` (counted in C order) of a uint32 array that other threads add to as well."""

    def codegen(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], *args)
        builder.atomic_rmw("add", pointer, ir.IntType(32)(1), "monotonic")
        return context.get_dummy_value()

    return types.none(array, types.intp), codegen


@intrinsic
def ones(typingctx, word):
    """Count the ones among the bits of a uint64."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@intrinsic
def trailing_zeros(typingctx, word):
    """Count the zeros below the lowest one of a uint64; 64 where there is none."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.IntType(1)(0))

    return types.uint64(types.uint64), codegen


@intrinsic
def pointer(typingctx, address):
    """Turn an address into a pointer, for `numba.carray`: so a kernel reads arrays whose number it does not know.

    Whoever passes an address keeps its array alive until the kernel is done.
    """

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), codegen
