"""What the tests of training share."""

from training_fixtures import _one_thread, often_logged, without_graph

__all__ = ["_one_thread", "often_logged", "without_graph"]
