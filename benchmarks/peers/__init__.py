"""Known methods beside a search: anomalib's PatchCore and PaDiM on exactly its images and splits.

anomalib needs an environment of its own, so that it never becomes a dependency of this project:

    python -m venv ANOMALIB && ANOMALIB/bin/pip install anomalib==2.7.0
    python -m benchmarks.peers experiments/textures.yml --python ANOMALIB/bin/python --seeds 0 1 2

``images`` writes the images of a task for a program in another environment, ``methods`` is that program, and
``figures`` computes the figures with this project's own metrics from the scores and maps that come back.
"""
