"""Compiled kernels of the training on the CPU, by Numba: products with spikes, and convolutions of few channels.

`sparse` and `convolution` are what `products` chooses from beside torch's own; `lists` and `list_kernels` are below
`sparse`, and `bits` unpacks spikes. As in `snnkd.simulation.kernels`, `vectors` is written in LLVM IR, `plain` is the
same as ordinary Numba code, with the same bits, and `primitives` chooses.

When to delete: `vectors`, once plain loops are as quick; `sparse` and what is below it, once torch's sparse products on
the CPU are as quick as its dense ones with a tenth of the entries; `convolution`, once torch's convolutions of 1 to 24
channels are. The last two are so where `floor`, which is torch's products alone, passes snnkd by more than the neurons
of a step take (`toolchain/benchmarks/training_profile.py`). These two commands tell:

    python toolchain/benchmarks/training.py --quick --systems snnkd floor
    SNNKD_KERNELS=plain python toolchain/benchmarks/training.py --quick --systems snnkd floor
"""
