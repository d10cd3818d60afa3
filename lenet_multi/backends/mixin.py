"""The base of a class that joins a model's class; its methods use those of the model."""

from typing import TYPE_CHECKING, Any, TypeAlias

# Not `keras.Model`: Keras also trains a layer that has its trainer, which is no model.
if TYPE_CHECKING:
    Mixin: TypeAlias = Any
else:
    Mixin = object
