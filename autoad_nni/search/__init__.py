"""A search: its space, its journal, its strategy. Knows no engine."""
