"""What a model estimates of a crop (age, gender, a helmet), attached to tracks and smoothed over their lives."""

from reidkit.runtime.attributes.model import AttributeModel, Classes, Value, open_attributes
from reidkit.runtime.attributes.smoothing import Attribute, TrackAttributes

__all__ = ["Attribute", "AttributeModel", "Classes", "TrackAttributes", "Value", "open_attributes"]
