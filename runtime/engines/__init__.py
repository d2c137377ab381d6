"""Engines: one file per inference library, found by listing this folder."""
