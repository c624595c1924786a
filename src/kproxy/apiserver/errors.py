"""What the API answers instead of an object: `meta/v1` Status, as exceptions, and the field errors inside it."""

from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field of an object; becomes a cause of a 422 Status.

    `reason` is a `meta/v1` CauseType (`FieldValueInvalid`, `FieldValueRequired`, …).
    """

    reason: str
    field: str
    text: str

    @classmethod
    def invalid(cls, field: str, value: object, detail: str) -> "FieldError":
        return cls("FieldValueInvalid", field, f"Invalid value: {_quoted(value)}: {detail}")

    @classmethod
    def required(cls, field: str, detail: str = "") -> "FieldError":
        return cls("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")

    @classmethod
    def duplicate(cls, field: str, value: object) -> "FieldError":
        return cls("FieldValueDuplicate", field, f"Duplicate value: {_quoted(value)}")

    @classmethod
    def forbidden(cls, field: str, detail: str) -> "FieldError":
        return cls("FieldValueForbidden", field, f"Forbidden: {detail}")

    @classmethod
    def unsupported(cls, field: str, value: object, supported: tuple[str, ...]) -> "FieldError":
        values = ", ".join(f'"{name}"' for name in supported)
        return cls("FieldValueNotSupported", field, f"Unsupported value: {_quoted(value)}: supported values: {values}")

    @classmethod
    def too_many(cls, field: str, count: int, most: int) -> "FieldError":
        return cls("FieldValueTooMany", field, f"Too many: {count}: must have at most {most} items")

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(_quoted(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


class ApiError(Exception):
    """A request's failure: an HTTP code, a machine-readable reason, a message for people.

    `continue_token` goes to the Status's metadata: where an expired list can go on, without consistency.
    """

    def __init__(
        self, code: int, reason: str, message: str, *, details: Json | None = None, continue_token: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.continue_token = continue_token

    def status(self) -> Json:
        """The `v1` Status object that tells the client."""
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            body["details"] = self.details
        return body | {"code": self.code}


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def path_not_found() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def not_found(resource: str, name: str, group: str = "") -> ApiError:
    details = {"name": name, "group": group, "kind": resource} if group else {"name": name, "kind": resource}
    return ApiError(404, "NotFound", f'{_qualified(resource, group)} "{name}" not found', details=details)


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def not_acceptable(accepted: tuple[str, ...]) -> ApiError:
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return ApiError(406, "NotAcceptable", message)


def already_exists(resource: str, name: str, group: str = "") -> ApiError:
    message = f'{_qualified(resource, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details={"name": name, "group": group, "kind": resource})


def conflict(resource: str, name: str, group: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details={"name": name, "group": group, "kind": resource})


def expired(message: str, continue_token: str = "") -> ApiError:
    """410: the history that the request needs is gone; list anew."""
    return ApiError(410, "Expired", message, continue_token=continue_token)


def too_large() -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")


def unsupported_media_type(accepted: tuple[str, ...]) -> ApiError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return ApiError(415, "UnsupportedMediaType", message)


def invalid(kind: str, group: str, name: str, errors: list[FieldError]) -> ApiError:
    """422, with one cause for each field at fault."""
    listed = ", ".join(str(error) for error in errors)
    message = (
        f'{kind}{"." + group if group else ""} "{name}" is invalid: {listed if len(errors) == 1 else f"[{listed}]"}'
    )
    causes = [{"reason": error.reason, "message": error.text, "field": error.field} for error in errors]
    details = {"name": name, "group": group, "kind": kind, "causes": causes}
    return ApiError(422, "Invalid", message, details=details)


def internal_error(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")


def resource_version_too_large(asked: int, current: int) -> ApiError:
    """504, by which clients know to retry: they read from a server that was ahead of this one."""
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError(504, "Timeout", message, details={"causes": [cause], "retryAfterSeconds": 1})


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource
