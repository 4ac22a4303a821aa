"""
The command that a user is running.
"""

from diarkis_tw.core.encoded import Body


class Request:
    """
    One command as it arrived; C{user.request} while its handlers run.

    @ivar id: 0 if the client expects no answer to this very command.
    @ivar reliable: how it came, which is how it is answered.
    @ivar answered: an answer with its id is on its way.
    """

    __slots__ = ("answered", "body", "cmd", "id", "reliable", "ver")

    def __init__(self, ver: int, cmd: int, id: int, body: Body, reliable: bool) -> None:
        self.ver = ver
        self.cmd = cmd
        self.id = id
        self.body = body
        self.reliable = reliable
        self.answered = False

    def __repr__(self) -> str:
        return f"<Request ver={self.ver} cmd={self.cmd} id={self.id}>"


class TextRequest(Request):
    """
    One that came as JSON, for the handlers of C{handle_ws_command} if there are any.
    Its body is bytes or a value, until L{diarkis_tw.core.dispatch} gives it the form
    that its handlers take.
    """

    __slots__ = ()
