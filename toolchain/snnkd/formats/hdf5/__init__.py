"""HDF5 files that are not to be trusted, read in a guarded child process; `groups.opened` is the door."""
