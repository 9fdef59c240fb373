"""The training of spiking networks. To import it changes nothing in the process, and loads neither torch nor lava-dl;
where torch or what else it needs is not installed, that raises LimitError.

From the whole to its parts:

    chain      trains a recipe's stages, each with its teacher, and reads back what it trained
    loop       one stage: epochs, batches and their gradients, optimizer, pruning, checkpoints
    objective  the weighted terms that a stage minimizes; losses has their formulas
    features   the term of hidden layers; feature_losses has its formulas
    crossing   the terms of cross distillation, and its stream of frames that give way to events
    teachers   the networks that are imitated
    feed       images as batches of events; store keeps what is computed once
    network    the network that is trained; start takes its weights from a file, deploy makes the integer network of it
    measuring  what a network does on a whole split
    neuron     the neuron of network; dynamics runs it over all steps
    products   the synaptic sums of network; kernels and exact compute them, weights rounds what they multiply by
    memory     tensors by their order in memory
    tuning     what a training changes in its process meanwhile
    slayer     the blocks of network: lava-dl's, or those of containers where it is missing; they train to the same bits
"""

from snnkd.base import packages

packages.require("training", "torch", "safetensors", "tensorboard")
