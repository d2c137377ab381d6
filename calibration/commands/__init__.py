"""Commands that measure: `reidkit eval`."""
