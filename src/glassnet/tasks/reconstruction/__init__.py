"""Reconstruction: an image given back from a code, noise taken off."""
