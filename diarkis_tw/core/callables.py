"""
What can be known about a callback when it is registered.
"""

import inspect
from collections.abc import Callable


def parameter_count(function: Callable[..., object]) -> int | None:
    """
    How many positional arguments C{function} needs; L{None} if that varies.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if any(p.kind is p.KEYWORD_ONLY for p in required):
        return None
    return len(required)


def describe_callable(function: object) -> str:
    """
    Name, file and line of a function, for errors and the log.
    """
    inner = inspect.unwrap(function) if callable(function) else function
    code = getattr(inner, "__code__", None) or getattr(
        getattr(inner, "__func__", None), "__code__", None
    )
    name = getattr(inner, "__qualname__", repr(inner))
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name
