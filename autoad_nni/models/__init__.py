"""Models: autoencoder, hypothesis and distance, joined into a detector; training and scoring."""
