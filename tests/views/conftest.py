"""Fixtures of the live panel's tests."""

from panel_bench import bench, wire

__all__ = ["bench", "wire"]
