"""Core ML's programs on any machine: saved, loaded, compared with torch's, and evaluated operator by operator.

Core ML predicts on Apple's systems alone. What it would compute is written in the package, in a language of some
hundred operators (MIL) of which a network uses twenty: here they are, in torch. Loaded by the target that needs it.
"""
