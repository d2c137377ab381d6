"""What an artifact is: its manifest, its digests, how it is published and when it is trusted."""
