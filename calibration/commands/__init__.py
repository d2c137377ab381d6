"""Commands that measure, `reidkit eval`, and one that renders what to measure on, `reidkit street`."""
