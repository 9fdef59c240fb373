"""Frozen teachers: their spiking activation tensors are computed once per image variant and kept as bits."""

from __future__ import annotations

import numpy as np
import torch

from snnkd.training.blocks import Network


class Teacher:
    """A trained network whose output spikes others imitate.

    What an image makes it spike depends on the image, its variant and (Poisson) its index only, so each SAT is
    computed the first time that it is needed and then read from a cache of T x classes bits per image and variant.
    """

    def __init__(self, network: Network, images: int, variants: int, steps: int, classes: int):
        self.network = network.eval().requires_grad_(False)
        self._shape = (steps, classes)
        self._bits = np.zeros((variants, images, -(-steps * classes // 8)), dtype=np.uint8)
        self._known = np.zeros((variants, images), dtype=bool)

    @torch.no_grad()
    def sat(self, events: torch.Tensor, indices: np.ndarray, variant: int) -> torch.Tensor:
        """Output spikes (T, classes, B) float32 for a batch of `events` (B, T, C, H, W) of the images `indices`."""
        missing = np.flatnonzero(~self._known[variant, indices])
        if missing.size:
            # All are missing or none, as a rule; indexing would unfold the time axis of direct encoding.
            unseen = events if len(missing) == len(indices) else events[torch.from_numpy(missing)]
            spikes = self.network(unseen).sat.permute(2, 0, 1).flatten(1)
            fresh = indices[missing]
            self._bits[variant, fresh] = np.packbits(spikes.bool().cpu().numpy(), axis=1)
            self._known[variant, fresh] = True
        steps, classes = self._shape
        flat = np.unpackbits(self._bits[variant, indices], axis=1, count=steps * classes)
        sat = torch.from_numpy(flat).to(events.device).float().unflatten(1, self._shape)
        return sat.permute(1, 2, 0)
