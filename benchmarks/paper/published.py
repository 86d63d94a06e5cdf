"""What the article reports, to stand beside what is measured."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["TABLE_2", "TABLE_3", "TABLE_5", "Triple", "reads"]


class Triple(NamedTuple):
    """One cell of Table II for each method: AutoAD, MSP, ODIN."""

    autoad: float
    msp: float
    odin: float


def reads(text: str) -> dict[str, Triple]:
    """Read a row: AUROC, AUPR-In and AUPR-Out, each AutoAD/MSP/ODIN in percent.

    Example:
        >>> reads("99.9/92.9/72.9 99.9/82.8/91.6 99.9/94.2/46.1")["auroc"].odin
        0.729
    """
    cells = [Triple(*(round(float(each) / 100, 5) for each in cell.split("/"))) for cell in text.split()]
    return dict(zip(("auroc", "aupr_in", "aupr_out"), cells, strict=True))


# Rows in the order of the article; (a) MNIST, (b) Fashion-MNIST, (c) CIFAR-10, (d) Tiny-ImageNet.
TABLE_2: Final[dict[tuple[str, str], dict[str, Triple]]] = {
    (normal, abnormal): reads(text)
    for normal, rows in {
        "mnist": {
            "fashion_mnist": "99.9/97.9/97.9 99.9/99.7/99.6 100/90.5/91.0",
            "notmnist": "99.8/97.2/98.2 99.8/97.5/98.4 100/97.4/98.0",
            "cifar10": "99.9/99.9/99.7 91.3/90.3/99.9 99.2/99.9/97.6",
            "lsun": "99.9/99.9/99.8 99.9/96.8/100 99.9/99.2/99.0",
            "tiny_imagenet": "99.9/99.4/99.6 99.8/99.6/99.9 99.8/96.8/97.5",
            "gaussian": "99.9/99.7/99.9 100/99.8/100 100/99.7/100",
            "uniform": "100/99.9/100 100/99.9/100 100/99.9/100",
        },
        "fashion_mnist": {
            "mnist": "99.9/92.9/72.9 99.9/82.8/91.6 99.9/94.2/46.1",
            "notmnist": "99.8/96.9/80.2 99.1/81.6/94.2 100/99.4/57.7",
            "cifar10": "99.9/88.2/96.6 99.5/80.6/99.3 99.9/97.2/80.4",
            "lsun": "99.5/89.7/96.0 97.9/81.9/99.2 99.9/97.7/79.9",
            "tiny_imagenet": "98.2/87.7/95.5 90.7/80.4/99.0 95.3/97.1/82.5",
            "gaussian": "99.9/97.2/89.6 99.9/82.24/98.0 100/99.5/48.2",
            "uniform": "99.9/95.8/63.6 99.9/82.9/91.4 99.9/99.0/19.8",
        },
        "cifar10": {
            "mnist": "100/98.4/99.9 100/99.4/100 100/89.4/99.4",
            "fashion_mnist": "99.6/98.2/99.4 98.1/96.1/99.9 99.9/98.8/97.3",
            "notmnist": "99.9/96.8/98.1 99.4/99.0/99.2 100/89.4/90.2",
            "lsun": "80.0/75.2/85.6 81.2/73.1/83.5 85.8/73.3/85.1",
            "tiny_imagenet": "84.0/72.6/81.6 87.5/73.5/76.9 87.8/80.6/84.8",
            "gaussian": "99.9/86.3/98.8 99.9/90.5/99.1 99.3/77.0/97.9",
            "uniform": "99.9/86.4/99.0 99.9/90.2/99.2 99.9/78.6/98.6",
        },
        "tiny_imagenet": {
            "mnist": "100/99.8/94.8 100/98.2/98.9 100/98.2/79.9",
            "fashion_mnist": "99.7/70.4/73.8 98.6/88.4/92.6 100/85.5/39.5",
            "notmnist": "99.9/80.6/82.7 99.7/90.4/95.2 100/85.8/56.0",
            "cifar10": "86.7/82.9/58.0 95.8/75.3/85.7 89.1/75.3/28.2",
            "lsun": "88.6/74.2/55.6 92.7/99.5/86.7 93.9/99.5/18.7",
            "gaussian": "99.9/97.0/95.4 100/98.0/99.0 99.9/94.8/80.5",
            "uniform": "100/96.0/87.5 100/99.3/62.8 100/97.4/96.8",
        },
    }.items()
    for abnormal, text in rows.items()
}
"""AUROC, AUPR-In and AUPR-Out of each pair (normal, abnormal). In the text at hand two parts of the table have lost
their columns: (b), where rows from LSUN on were told apart by their order, and the last rows of (d)."""

TABLE_3: Final[dict[str, dict[str, tuple[float, float]]]] = {
    category: dict(zip(("autoad", "ssim_autoencoder", "anogan", "feature_dictionary"), cells, strict=True))
    for category, cells in {
        "carpet": ((0.69, 0.92), (0.38, 0.59), (0.34, 0.54), (0.20, 0.72)),
        "grid": ((0.89, 0.94), (0.83, 0.90), (0.04, 0.58), (0.02, 0.59)),
        "leather": ((0.81, 0.92), (0.67, 0.75), (0.34, 0.64), (0.74, 0.87)),
        "tile": ((0.26, 0.94), (0.23, 0.51), (0.08, 0.50), (0.14, 0.73)),
        "wood": ((0.47, 0.97), (0.29, 0.73), (0.14, 0.62), (0.47, 0.91)),
        "bottle": ((0.33, 0.93), (0.22, 0.86), (0.05, 0.86), (0.07, 0.78)),
        "cable": ((0.17, 0.87), (0.05, 0.86), (0.01, 0.78), (0.13, 0.79)),
        "capsule": ((0.16, 0.95), (0.11, 0.88), (0.04, 0.84), (0.00, 0.84)),
        "hazelnut": ((0.46, 0.97), (0.41, 0.95), (0.02, 0.87), (0.00, 0.72)),
        "metal_nut": ((0.30, 0.88), (0.26, 0.86), (0.00, 0.76), (0.13, 0.82)),
        "pill": ((0.30, 0.92), (0.25, 0.85), (0.17, 0.87), (0.00, 0.68)),
        "screw": ((0.34, 0.96), (0.34, 0.96), (0.01, 0.80), (0.00, 0.68)),
        "toothbrush": ((0.60, 0.90), (0.51, 0.83), (0.07, 0.90), (0.00, 0.77)),
        "transistor": ((0.23, 0.96), (0.22, 0.86), (0.08, 0.80), (0.03, 0.66)),
        "zipper": ((0.20, 0.88), (0.13, 0.77), (0.01, 0.78), (0.00, 0.77)),
    }.items()
}
"""RPRO and pixel AUROC of each category of MVTec-AD."""

TABLE_5: Final[dict[str, dict[str, float]]] = {
    row: dict(zip(("best_20", "best_100", "best_200", "mean_200", "std_200"), cells, strict=False))
    for row, cells in {
        "eta 0": (0.8527, 0.9623, 0.9651, 0.9001, 0.093),
        "eta 0.01": (0.8546, 0.9654, 0.9850, 0.9120, 0.097),
        "eta 0.1": (0.8546, 0.9693, 0.9841, 0.9184, 0.131),
        "no buffer": (0.8543, 0.9657, 0.9800),
        "buffer 5": (0.8805, 0.9712, 0.9804),
        "buffer 10": (0.8744, 0.9770, 0.9812),
    }.items()
}
"""AUROC of Fashion-MNIST against CIFAR-10 after 20, 100 and 200 iterations, and mean and deviation of the models of all
200: (a) eta, with a buffer that is not given; (b) the buffer, with an eta that is not given."""
