"""The record that a search leaves: run folder, best model, summary, pictures."""
