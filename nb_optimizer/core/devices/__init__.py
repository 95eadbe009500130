"""One model on several devices or machines.

Who does what: ``wish`` reads the text of ``--devices``; ``inventory`` looks at what TensorFlow can
use here, ``choice`` picks from it and says why; ``strategy`` opens the scope the cell runs in;
``preflight`` finds what would fail under it before anything is trained, ``rebuild`` brings a model
of an earlier cell into the scope and its weights back, ``share`` ties these to one ``fit``;
``throughput`` says what the devices gained. What must run outside the kernel is a ``job``: a
private folder and a ``worker`` process, started and listened to by ``launch``; ``baggage`` carries
variables there and back. ``machines`` runs the same job on ipyparallel engines; ``keras_workers``
is the only file with private names of Keras.
"""
