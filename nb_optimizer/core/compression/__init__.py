"""Smaller and faster versions of a model, each measured on its exported file."""
