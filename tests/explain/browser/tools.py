"""What several tests of the page share."""

from unrolled.explain import layer_facts

RANKS = "keras_ranks"


def quick(patch, describing):
    """Describe without the experiments, where only trace and weights are at stake."""
    none = {"other_steps": [], "other_units": [], "other_features": []}
    patch.setattr(layer_facts, "experiments", lambda *job, **more: lambda found: {})
    patch.setattr(layer_facts.shapes, "variants", lambda *job, **more: lambda: {**none})
    patch.setattr(layer_facts.shapes, "returns", lambda *job, **more: lambda: None)
    patch.setattr(describing, "judge", lambda facts: [])
