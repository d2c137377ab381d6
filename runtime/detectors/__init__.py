"""Detectors, one file each: a frame in, boxes of people out."""
