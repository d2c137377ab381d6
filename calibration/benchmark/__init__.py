"""How fast artifacts are on this box, side by side.

worker ◄──┐                       each artifact and thread count has a process of its own, so that memory and
worker ◄──┼── contest ── choice   start-up are its alone; they take turns, so that what else the machine does
worker ◄──┘                       is shared out among them
"""
