"""Compiled kernels of the fast engine, by Numba: `layers` and `convolutions` run whole layers.

What LLVM makes no vectors of by itself is written in its own language, LLVM IR, in `vectors`. `plain` has the same as
ordinary Numba code, with the same numbers; `primitives` takes `vectors` where it compiles, else `plain`. Numba's
interface for that, `numba.extending.intrinsic` with llvmlite, may change with any of its versions: so pyproject.toml
caps Numba at what was tested.

When to delete: `vectors`, once plain loops are as quick, as a later LLVM or vector types of Numba's own may make them;
the whole room, once the bare products of torch (`floor`) are quicker than `fast`. These two commands tell:

    python toolchain/benchmarks/simulation.py --quick --no-lava
    SNNKD_KERNELS=plain python toolchain/benchmarks/simulation.py --quick --no-lava
"""
