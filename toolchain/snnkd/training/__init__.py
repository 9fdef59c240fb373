"""The training of spiking networks. To import it changes nothing in the process, and loads neither torch nor lava-dl.

`network` has SLAYER's blocks with the neuron of `neuron` in them; `loop` trains one of them, `chain` a recipe's. What
needs no blocks, such as `losses`, needs no lava-dl either: `slayer` alone imports it. `tuning` is what a training
changes in the process meanwhile.
"""
