"""A learning-rate schedule that begins after earlier steps, for a run that goes on."""

from typing import Any

import keras

Tensor = Any  # the backend's own


@keras.saving.register_keras_serializable("lenet_multi")
class Later(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # no types
    """The learning rate of `schedule`, which begins after `before` steps of the optimizer.

    A saved model gets `schedule` itself (see `portable`), so plain Keras can open the file.
    """

    def __init__(self, schedule: Any, before: int) -> None:
        super().__init__()
        self.schedule, self.before = schedule, before

    def __call__(self, step: Tensor) -> Tensor:
        """Return the rate at `step`, from 0; steps that a loss scale skipped do not count."""
        return self.schedule(keras.ops.maximum(step - self.before, 0))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the class."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "before": self.before}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Later":
        """Return the schedule of a configuration."""
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["before"])
