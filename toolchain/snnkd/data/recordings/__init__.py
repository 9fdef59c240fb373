"""Recordings of event cameras and other sensors of events: their formats, and how data sets of them are laid out."""
