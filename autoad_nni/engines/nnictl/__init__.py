"""Everything that touches NNI's manager.

The import stays light (no torch): the manager waits ten seconds for the advisor to connect.
"""
