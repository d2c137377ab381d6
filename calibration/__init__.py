"""What real crops say about a model, and what may refuse it.

`crops` are what is measured on, `street` renders some where there are none, `metrics` count, `gates` decide.
"""
