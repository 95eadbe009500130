"""Training under watch.

Who does what: ``session`` replaces ``Model.fit`` while a block runs; ``call`` holds the arguments
of one call; ``fit`` owns one call from its arguments to its closed record; ``watch`` turns Keras'
hooks into events; ``control`` takes wishes and ``steer`` grants them between batches; ``state``
copies and restores everything that training depends on, ``keeper`` decides when, ``resume`` brings
it back; ``framework`` is the only file that knows private names of Keras.
"""
