"""reidkit beside its peers: the same work, in one process, in turns. See README.md."""
