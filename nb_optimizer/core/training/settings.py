"""Numbers that the magics' settings and the training core share, free of Keras."""

CHECKPOINT_SECONDS = 30.0
