"""Running many steps of ``fit`` in one call, with the same mathematics.

``ways`` are the forms in which a step can be run; ``pace`` times them on real steps and chooses;
``blocks`` cuts an epoch into what one call takes; ``install`` puts them under a ``fit``, or says
why not.
"""
