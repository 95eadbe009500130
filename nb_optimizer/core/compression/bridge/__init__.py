"""A Keras 3 model as a tf_keras model with the same outputs: what TF-MOT can work on.

Runs in worker processes only: TF-MOT changes what ``tf.keras`` means in its process.
"""
