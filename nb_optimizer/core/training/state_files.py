"""Names of the files that hold a run's state, free of Keras."""

BEST, LATEST = "best.npz", "checkpoint.npz"
