"""What several tests of the page share."""

from unrolled.explain.facts import recurrent

RANKS = "keras_ranks"


def quick(patch, describing):
    """Describe without the experiments, where only trace and weights are at stake."""
    none = {"other_steps": [], "other_units": [], "other_features": []}
    patch.setattr(recurrent, "experiments", lambda *job, **more: lambda found: {})
    patch.setattr(recurrent.shapes, "variants", lambda *job, **more: lambda: {**none})
    patch.setattr(recurrent.shapes, "returns", lambda *job, **more: lambda: None)
    patch.setattr(describing, "judge", lambda facts: [])
