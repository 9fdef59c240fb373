"""The waist: the integer network, its arithmetic and its readout, and the trace of a run. Numpy only."""
