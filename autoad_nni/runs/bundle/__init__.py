"""A bundle: a folder that holds a model and all that is needed to use it elsewhere.

- `record`: what a model is made of besides its weights.
- `files`: detector.json and threshold.json.
- `card`: card.md, the model in words.
- `retraining`: the winner trained again on all normal images.
- `export`: writes a bundle.
"""
