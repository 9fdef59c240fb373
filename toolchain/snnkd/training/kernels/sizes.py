"""How many numbers the kernels take at a time."""

LANES = 8  # float32 in a vector of 256 bits
WIDE = 4 * LANES  # outputs whose sums stay in registers
