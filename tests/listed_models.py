"""The ten models that the project set out to export, by their names in the catalogue."""

from __future__ import annotations

LISTED = (
    "osnet_x1_0_msmt17",
    "osnet_x0_75_msmt17",
    "osnet_x0_5_msmt17",
    "resnest50_market1501",
    "resnest101_msmt17",
    "clip_vit_b16_market1501",
    "clip_vit_l14_msmt17",
    "mobilenetv2_x1_4_msmt17",
    "convnext_small_msmt17",
    "convnext_base_market1501",
)
