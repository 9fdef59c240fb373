"""Networks on disk, one package for each format."""
