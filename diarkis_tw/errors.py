"""
Every error that is part of a contract, in one place.

The peer's fault is a L{RemoteProtocolError}, the caller's fault a
L{LocalProtocolError}; anything else that escapes C{wire/} or C{rudp/} is a bug.
"""

from http import HTTPStatus
from typing import Final

from diarkis_tw.constants import CloseCode, Status


class DiarkisError(Exception):
    """
    Base class of all errors of this package.
    """


class ConfigError(DiarkisError):
    """
    A setting is wrong. The text names file and key, says what was expected and
    what to do.
    """


class StartError(DiarkisError):
    """
    The node could not start; the text says which step failed and why.
    """


class RegistrationError(DiarkisError, ValueError):
    """
    A handler cannot be registered as asked.
    """


class NotificationError(DiarkisError, ValueError):
    """
    A notification is not one, or cannot be sent now.
    """


class LocalProtocolError(DiarkisError):
    """
    The caller asked for something the protocol does not allow.
    """


class UserDataError(DiarkisError, LookupError):
    """
    A user's data has nothing under a key, or something of another type.
    """


class RemoteProtocolError(DiarkisError):
    """
    The peer sent something the protocol does not allow.

    @ivar code: the close code this deserves.
    """

    def __init__(self, message: str, code: CloseCode = CloseCode.PROTOCOL) -> None:
        super().__init__(message)
        self.code = code


class CommandError(DiarkisError):
    """
    Raised by a command handler: the client gets status BAD with C{code} and
    C{message}.

    @ivar code: 0..65535, the application's own.
    @ivar message: a sentence for the client.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message


_WORDS: Final = {status.value: status.name.lower() for status in HTTPStatus} | {
    # Python 3.13 has other names for these
    413: "too_large",
    414: "uri_too_long",
    416: "range_not_satisfiable",
    422: "unprocessable",
}


class HttpError(DiarkisError):
    """
    Raised by an HTTP handler: the client gets C{status}, and the rest as JSON.

    @ivar status: 400..599.
    @ivar message: a sentence for the client.
    @ivar word: a word for programs, such as C{not_found}.
    """

    def __init__(self, status: int, message: str, word: str = "") -> None:
        """
        @param word: empty = the status's own name.
        @raise ValueError: C{status} is not that of an error.
        """
        super().__init__(message)
        if not 400 <= status <= 599:
            raise ValueError(f"an HttpError has a status from 400 to 599, not {status!r}")
        self.status = status
        self.message = message
        self.word = word or _WORDS.get(status, "error")


class ResponseError(DiarkisError):
    """
    The server answered a client's request with status BAD or ERR.

    @ivar status: L{Status.BAD} or L{Status.ERR}.
    @ivar code: the number in the answer, 0 if there is none.
    @ivar message: the sentence in the answer.
    """

    def __init__(self, status: Status, code: int, message: str) -> None:
        super().__init__(f"{status.name} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class RequestTimeout(DiarkisError):
    """
    No answer came to a client's request in time.
    """


class Disconnected(DiarkisError):
    """
    The client's connection has ended for good.

    @ivar code: why; L{CloseCode.TIMEOUT} also when no server answered.
    """

    def __init__(self, code: CloseCode, message: str = "") -> None:
        super().__init__(f"disconnected: {code.name}" + (f" ({message})" if message else ""))
        self.code = code


class EndpointError(DiarkisError):
    """
    The endpoint API did not give an endpoint.

    @ivar status: HTTP status, 0 when no answer came.
    @ivar reason: the API's word for it, such as C{no_node}; empty if none.
    """

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class CloudError(DiarkisError):
    """
    The public address of this machine could not be found out.

    @ivar cloud: who was asked, such as C{AWS}.
    @ivar step: what was asked for.
    @ivar problem: what came of it.
    @ivar remedy: what to do, in one or more sentences.
    """

    def __init__(self, cloud: str, step: str, problem: str, remedy: str) -> None:
        super().__init__(f"{cloud}: {step} failed: {problem}. {remedy}")
        self.cloud = cloud
        self.step = step
        self.problem = problem
        self.remedy = remedy


class MeshError(DiarkisError):
    """
    Another node could not be reached, did not answer in time or refused.
    """


class NotSentError(MeshError):
    """
    Another node could not be reached, so that it has not heard of the message.
    """
