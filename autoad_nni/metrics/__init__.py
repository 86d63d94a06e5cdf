"""How well scores and maps separate anomalies from normal images: pure functions."""
