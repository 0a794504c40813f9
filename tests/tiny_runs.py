"""The smallest training that learns real digits: a network of a few channels on the embedded sample."""

import glassnet as gn

TINY = ("filters=4,4,8,8", "hidden=16")


def tiny(out, **options):
    """Its settings; three epochs take a second."""
    return gn.TrainSettings(**{"model_options": TINY, "epochs": 3, "precision": "fp32", "out": out, **options})
