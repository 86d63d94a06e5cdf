"""The article's tables: AutoAD beside its competitors, on the same images and the same split.

    python -m benchmarks.paper table2 --output runs/paper      # Table II: out-of-distribution images
    python -m benchmarks.paper table3 --output runs/paper      # Table III: where defects are
    python -m benchmarks.paper table4 --output runs/paper      # Table IV: the models that the searches of both found
    python -m benchmarks.paper table5 --output runs/paper      # Table V: ablations, on recorded searches
    python -m benchmarks.paper figure3 --output runs/paper     # Figure 3: beside random search, on recorded searches

Each cell of Tables II and III is a line of OUTPUT/cells.jsonl; the same command goes on where the last one was cut. A
cell that fails is a line with its reason, and the others go on; the next run tries it again, and its last line counts.
A search that was cut is resumed; one that ended without a good trial is kept as ``OUTPUT/runs/RUN.failed-1``, and
begins anew. A folder takes one run at a time, and refuses other images and settings for a cell that it has. Table V and
Figure 3 read what ``python -m benchmarks.strategies`` recorded.
"""
