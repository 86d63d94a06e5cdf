"""How far planted defects can be trusted as the validation of a folder of good images only."""
