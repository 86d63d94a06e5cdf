"""Models: an autoencoder, a hypothesis and a distance make a detector; how it is trained, and how it scores."""
