"""What knows no networks: typed errors, files that are whole or not there, digests, locks, tables that are checked."""
