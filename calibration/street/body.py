"""How a body stands or walks: `Pose` says which moment of which gait seen from where, `Joints` where that puts them.

The body is a skeleton in three dimensions, in shares of its own height: `lateral` to its right, `forward` to where it
walks, and `y` from the crown 0 down to the soles 1. It is seen from a little above, so that what is nearer lies lower
in the picture: legs that come towards the camera are seen to stride, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

_SEEN_FROM_ABOVE = 0.2  # how much lower in the picture one share of nearness is
_REACH = 0.185  # how far before the hips a foot is set on the ground, and how far behind them it leaves it
_STANCE = 0.6  # share of the cycle for which a foot is on the ground
CYCLE = 2 * _REACH / _STANCE  # the way that two steps make
_THIGH = 0.2385  # and a shin as much
_HIP_Y, _ANKLE_Y, _SHOULDER_Y = 0.484, 0.955, 0.211


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """A moment of a walk.

    Attributes:
        front, side: the direction of the walk, of length 1: (1, 0) towards the camera, (0, 1) to the right.
        phase: 0..1, where in the cycle of two steps; at 0 the right foot is furthest forward.
        stride: 0 stands, 1 walks.
        arm_swing: a factor around 1.
    """

    front: float
    side: float
    phase: float
    stride: float
    arm_swing: float = 1.0


class Place(NamedTuple):
    """A point of the body as the camera sees it: `x` right, `y` down and `near` towards it, in shares of its height."""

    x: float
    y: float
    near: float

    @property
    def point(self) -> tuple[float, float]:
        """(x, y)."""
        return self.x, self.y


class Limb(NamedTuple):
    """Hip, knee, ankle and toe; or shoulder, elbow, wrist and fingertips."""

    root: Place
    middle: Place
    end: Place
    tip: Place

    @property
    def near(self) -> float:
        """How near it is to the camera as a whole."""
        return (self.root.near + self.middle.near + self.end.near) / 3


@dataclass(frozen=True, slots=True)
class Joints:
    """A body in a pose. Of each pair the right one comes first.

    Attributes:
        drop: how much lower the trunk and the head are than in standing.
        lean: how far forward the neck is of the hips, seen from the camera.
    """

    legs: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]
    drop: float
    lean: float


def joints(pose: Pose, *, hips: float, shoulders: float) -> Joints:
    """Where a body's joints are; `hips` and `shoulders` are half the distances between the joints of a pair."""
    stride, swing = pose.stride, wave(pose.phase)
    # Lowest when both feet are on the ground, wide apart.
    drop = 0.013 * stride * (1 + wave(2 * pose.phase))
    lean = 0.014 * stride
    legs, arms = [], []
    for hand in (1, -1):
        legs.append(_leg(pose, hand * hips, drop, pose.phase if hand > 0 else pose.phase + 0.5))
        arms.append(_arm(pose, hand, shoulders, drop, lean, -hand * swing * stride * pose.arm_swing))
    return Joints((legs[0], legs[1]), (arms[0], arms[1]), drop, seen(pose, 0, lean, 0).x)


def seen(pose: Pose, lateral: float, forward: float, y: float) -> Place:
    """A point of the body as the camera sees it."""
    near = forward * pose.front + lateral * pose.side
    return Place(forward * pose.side - lateral * pose.front, y + _SEEN_FROM_ABOVE * near, near)


def _leg(pose: Pose, lateral: float, drop: float, phase: float) -> Limb:
    part, reach = phase % 1.0, _REACH * pose.stride
    if part < _STANCE:
        forward = reach * (1 - 2 * part / _STANCE)
        push = max(0.0, part / _STANCE - 0.65) / 0.35  # the heel leaves the ground before the toe
        lift, pitch = 0.035 * push * push, 0.75 * push * push - 0.3 * max(0.0, 1 - 8 * part)
    else:
        part = (part - _STANCE) / (1 - _STANCE)
        ahead = part * part * (3 - 2 * part)
        forward = reach * (2 * ahead - 1)
        lift, pitch = 0.035 * (1 - part) + 0.2 * part * (1 - part) * (1 - 0.4 * part), 0.75 - 1.05 * part
    lift, pitch = lift * pose.stride, pitch * pose.stride
    hip_y, ankle_y = _HIP_Y + drop, _ANKLE_Y - lift
    ahead, down = forward, ankle_y - hip_y
    span = sqrt(ahead * ahead + down * down)
    shorter = min(1.0, 1.995 * _THIGH / span)
    ahead, down, span = ahead * shorter, down * shorter, span * shorter
    bend = sqrt(_THIGH * _THIGH - span * span / 4) / span
    knee = seen(pose, lateral, ahead / 2 + down * bend, hip_y + down / 2 - ahead * bend)
    ankle = seen(pose, 0.85 * lateral, ahead, hip_y + down)
    toe = seen(pose, 1.05 * lateral, ahead + 0.072 * (1 - 0.3 * abs(pitch)), hip_y + down + 0.022 + 0.05 * pitch)
    return Limb(seen(pose, lateral, 0, hip_y), knee, ankle, toe)


def _arm(pose: Pose, hand: int, shoulders: float, drop: float, lean: float, swing: float) -> Limb:
    lateral, forward = hand * shoulders, 0.1 * swing
    elbow = seen(pose, lateral + 0.016 * hand, lean + 0.5 * forward - 0.012, 0.352 + drop)
    raised = 0.022 * swing * swing + 0.018 * max(0.0, swing)
    wrist = seen(pose, lateral + 0.018 * hand, lean + 1.35 * forward + 0.022, 0.478 + drop - raised)
    tips = seen(pose, lateral + 0.014 * hand, lean + 1.55 * forward + 0.03, 0.508 + drop - 1.2 * raised)
    return Limb(seen(pose, lateral, lean, _SHOULDER_Y + drop), elbow, wrist, tips)


def wave(turns: float) -> float:
    """Nearly the cosine of a number of turns, of products alone: two parabolas, made rounder."""
    part = (turns + 0.25) % 1.0
    arch = 8 * part * (1 - 2 * part) if part < 0.5 else -8 * (part - 0.5) * (2 - 2 * part)
    return arch * (0.775 + 0.225 * abs(arch))
