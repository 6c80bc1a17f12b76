"""What several tests of the page share."""

RANKS = "keras_ranks"


def quick(patch, describing):
    """Describe without the experiments, where only trace and weights are at stake."""
    nothing = {"other_steps": [], "other_units": [], "other_features": []}
    patch.setattr(describing, "experiments", lambda *args, **more: {})
    patch.setattr(describing.shapes, "variants", lambda *args, **more: dict(nothing))
    patch.setattr(describing.shapes, "returns", lambda *args, **more: None)
    patch.setattr(describing, "judge", lambda facts: [])
