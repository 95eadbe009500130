"""Search: what may vary, which values to try next, which trials to pause, what came of it."""
