"""What is asked of a network: runs in blocks, comparisons, explanations, headroom, profiles, energy, fit."""
