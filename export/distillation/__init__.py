"""Distillation: a small student learns from a strong teacher who is like whom, from crops that nobody labelled.

teacher.py, vendor.py    whom to learn from
collection.py            crops of folders and videos
views.py, labels.py      views of the crops, and what the teacher says of each, kept by digest
losses.py, training.py   the student and its steps
validation.py            how much it agrees with the teacher about crops that it does not learn from
exam.py                  teacher and student on labelled crops, where there are some
work.py, card.py         checkpoint, weights, model card
distillation.py          all of it in order
"""

from reidkit.export.distillation.collection import CropSources
from reidkit.export.distillation.distillation import DistillationJob, DistillationResult, Report, distil
from reidkit.export.distillation.labels import Stopped
from reidkit.export.distillation.training import Settings

__all__ = ["CropSources", "DistillationJob", "DistillationResult", "Report", "Settings", "Stopped", "distil"]
