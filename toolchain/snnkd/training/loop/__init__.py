"""The loop of a training: stages, batches and their gradients, the optimizer, pruning, and what is written down."""
