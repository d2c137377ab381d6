# What the extension binds; tests/native holds the two equal.

from typing import Any

from numpy import bool_, float16, float32, float64, int64, uint8
from numpy.typing import NDArray

def cut_crops(
    frame: NDArray[uint8],
    boxes_xyxy: NDArray[float32] | NDArray[float64],
    out: NDArray[uint8] | NDArray[float16] | NDArray[float32],
    *,
    chroma: tuple[NDArray[uint8], NDArray[uint8]] | None,
    bt709: bool,
    full_range: bool,
    swap_colors: bool,
    kernel: str,
    antialias: bool,
    layout: str,
    gain: tuple[float, float, float],
    offset: tuple[float, float, float],
    letterbox: tuple[int, int, int] | None,
    then: CropsWritten | None,
) -> None: ...
def assign(cost: NDArray[float64], limit: float) -> tuple[NDArray[int64], NDArray[int64]]: ...
def instruction_set() -> str: ...
def unit_embeddings(
    values: NDArray[float32] | NDArray[float64], rows: NDArray[int64], normalize: bool
) -> tuple[NDArray[float64], NDArray[float64]]: ...
def make_unit(embeddings: NDArray[float32], normalize: bool) -> bool: ...
def cosines(
    first: NDArray[float64], first_rows: NDArray[int64], second: NDArray[float64], second_rows: NDArray[int64]
) -> NDArray[float64]: ...
def blend_embeddings(
    averages: NDArray[float64],
    begun: NDArray[bool_],
    rows: NDArray[int64],
    embeddings: NDArray[float64],
    weight: float,
) -> None: ...
def iou_distance(first: NDArray[float64], second: NDArray[float64]) -> NDArray[float64]: ...

class TrackerCore:
    def __init__(
        self,
        *,
        high_score: float,
        low_score: float,
        new_track_score: float,
        min_embedding_score: float,
        normalize_embeddings: bool,
        match_cost: float,
        second_match_cost: float,
        unconfirmed_match_cost: float,
        fuse_score: bool,
        min_iou_for_appearance: float,
        min_cosine: float,
        appearance_cost_scale: float,
        unconfirmed_min_cosine: float,
        unconfirmed_appearance_cost_scale: float,
        ema_weight: float,
        duplicate_iou: float,
        longest_lost: int,
        longest_kept: int,
    ) -> None: ...
    def bind(self, columns: dict[str, NDArray[Any]]) -> None: ...
    def read(
        self,
        boxes_xyxy: NDArray[float64],
        scores: NDArray[float64],
        classes: NDArray[int64] | None,
        embeddings: NDArray[float32] | NDArray[float64] | None,
        embedded: NDArray[bool_] | None,
        width: int,
    ) -> tuple[int, int]: ...
    def associate(
        self, count: int, coupled: bool, number: int, frame: int, steps: float, affine: NDArray[float64] | None
    ) -> tuple[int, bool, int, int, int]: ...
    def detections(
        self,
    ) -> tuple[
        NDArray[float64],
        NDArray[float64],
        NDArray[float64],
        NDArray[int64],
        NDArray[int64],
        NDArray[int64],
        NDArray[int64],
        NDArray[float64],
    ]: ...
    def followed(self) -> tuple[NDArray[int64], NDArray[int64]]: ...
    def unclaimed(self) -> NDArray[int64]: ...
    def claim(self, detection: int) -> None: ...
    def finish(
        self, next_id: int
    ) -> tuple[
        int,
        int,
        bool,
        NDArray[int64],
        NDArray[float64],
        NDArray[float64],
        NDArray[int64],
        NDArray[int64],
        NDArray[bool_],
    ]: ...

class BatchRing:
    def __init__(self, buffers: int, rows: int, patience_ns: int) -> None: ...
    def issue(self) -> int: ...
    def reserve(self, wanted: int) -> tuple[int, int, int] | None: ...
    def reserve_by(self, wanted: int, until_ns: int) -> tuple[int, int, int] | None: ...
    def recapture_oldest(
        self, camera: int, ticket: int, wanted: int
    ) -> tuple[tuple[int, int, int], list[tuple[int, int]]] | None: ...
    def recapture_ticket(
        self, ticket: int, wanted: int
    ) -> tuple[tuple[int, int, int], list[tuple[int, int]]] | None: ...
    def commit(self, rows: tuple[int, int, int], ticket: int, camera: int, index: int, deadline_ns: int) -> bool: ...
    def writing(
        self, rows: tuple[int, int, int], ticket: int, camera: int, index: int, deadline_ns: int
    ) -> Writing: ...
    def abandon(self, rows: tuple[int, int, int]) -> None: ...
    def next(self) -> tuple[int, list[tuple[int, int, int, int]]] | None: ...
    def release(self, buffer: int) -> None: ...
    def close(self, drain_until_ns: int) -> None: ...
    def reopen(self) -> None: ...
    def is_closed(self) -> bool: ...
    def counters(self) -> tuple[int, int, int, int]: ...

class CropsWritten: ...

class Writing(CropsWritten):
    def end(self) -> bool: ...
