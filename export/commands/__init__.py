"""Commands of this room: `reid-export`. Importing them loads neither torch nor any compiler."""
