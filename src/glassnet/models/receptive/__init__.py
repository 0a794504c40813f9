"""Receptive fields: which pixels each unit of a layer sees, followed through every operation below autograd."""
