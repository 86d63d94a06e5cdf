"""What runs the trials of a search: this process, or NNI's manager."""
