"""One trial: its request, its run, its evaluation. Knows nothing of a search."""
