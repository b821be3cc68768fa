"""Errors as OpenAI's clients read them: ``{"error": {"message", "type", "param", "code"}}``."""

import re
import sys
import traceback
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect as StarletteDisconnect
from starlette.requests import Request
from starlette.responses import Response

from genai.core.errors import NonFiniteOutput, RunError, UserError, short_text
from genai.server.json_body import JSONAnswer
from genai.trust.revocations import RevokedConsent

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "service_unavailable",
}
"""OpenAI's types of errors, by status; others are ``invalid_request_error``."""


class APIError(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        message: for the person at the client.
        code: OpenAI's name for it, if it has one.
        retry_after: seconds after which the client may try again.
    """

    def __init__(self, status: int, message: str, code: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.retry_after = status, message, code, retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The answer as plain data."""
        parameter = re.match(r"([a-z_][\w.]*)=", self.message)
        kind = TYPES.get(self.status, "invalid_request_error")
        return {
            "error": {"message": self.message, "type": kind, "param": parameter and parameter[1], "code": self.code}
        }

    def response(self) -> Response:
        """The answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer, Basic realm="genai"'
        return JSONAnswer(self.body, self.status, headers)


def as_api_error(error: BaseException) -> APIError:
    """Return what a client is told of an error; of one that is not its own, only that there was one."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, StarletteDisconnect):  # while its body was read
        return APIError(499, "the client has hung up.")
    if isinstance(error, RequestValidationError):  # of a path or a query
        first = error.errors()[0]
        return APIError(400, f"{first['loc'][-1]}=: {short_text(first['msg'])}.")
    if isinstance(error, HTTPException):
        messages = {404: "there is nothing at this address; /docs lists what there is.", 405: "another method is due."}
        return APIError(error.status_code, messages.get(error.status_code, short_text(error.detail)))
    if isinstance(error, NonFiniteOutput):
        return APIError(503, str(error), "model_damaged")
    if isinstance(error, RevokedConsent):
        return APIError(403, "the consent for a voice of this model was revoked.", "consent_revoked")
    if isinstance(error, UserError):
        return APIError(400, str(error))
    if isinstance(error, RunError):
        return APIError(500, str(error))
    traceback.print_exception(error, file=sys.stderr)
    return APIError(500, "the server has failed at this request; its log says why.")


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer with an error; an exception handler of Starlette."""
    return as_api_error(error).response()
