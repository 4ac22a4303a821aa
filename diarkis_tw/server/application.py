"""
Finding the application: the game's own code, which registers its commands.
"""

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from diarkis_tw.errors import ConfigError

if TYPE_CHECKING:
    from diarkis_tw.server.server import Server

Setup: TypeAlias = Callable[["Server"], object]


def find_application(name: str, directory: str) -> Setup:
    """
    Import the application.

    @param name: a module with C{setup(server)}, or the dotted name of a callable.
    @param directory: appended to C{sys.path}, if it is not there.
    @return: what is to be called with the server before it starts.
    @raise ConfigError: there is none, or importing it failed.
    """
    path = str(Path(directory).absolute())
    if path not in sys.path:
        sys.path.append(path)
    module_name, attribute = name, "setup"
    try:
        found = _import(module_name)
        if found is None and "." in name:
            module_name, _, attribute = name.rpartition(".")
            found = _import(module_name)
    except SystemExit as error:
        raise ConfigError(
            f"app {name}: {_where(error)}importing {module_name} ends the process, with "
            f"{error.code!r}. Move what is to run only when the file itself is started below "
            'if __name__ == "__main__":'
        ) from error
    except Exception as error:
        raise ConfigError(f"app {name}: {_where(error)}{type(error).__name__}: {error}") from error
    if found is None:
        raise ConfigError(
            f"app {name}: there is no module of that name in {path} or on the Python path. "
            "Name a module as in mygame.commands, and its folder with --app-dir."
        )
    setup = getattr(found, attribute, None)
    if not callable(setup):
        raise ConfigError(
            f"app {name}: {module_name} has no callable {attribute!r}. "
            "An application is a module with a function setup(server)."
        )
    return cast(Setup, setup)


def _import(name: str) -> object | None:
    """
    Import a module.

    @return: L{None} if it, or a package above it, does not exist.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            return None
        raise


def _where(error: BaseException) -> str:
    """
    The last place of the application's own code in the traceback.
    """
    if isinstance(error, SyntaxError):
        return ""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith(("<", importlib.__file__))
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
