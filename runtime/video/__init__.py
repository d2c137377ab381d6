"""Frames in, pictures and MOTChallenge files out."""
