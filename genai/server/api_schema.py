"""OpenAPI descriptions of requests, from the classes that parse them."""

from typing import Any

from genai.server.option_schema import object_schema


def json_request(cls: type) -> dict[str, Any]:
    """Return ``openapi_extra`` of an endpoint whose JSON body is a ``cls``."""
    return _body("application/json", object_schema(cls))


def form_request(cls: type, *files: str) -> dict[str, Any]:
    """Return ``openapi_extra`` of an endpoint whose form has the fields of ``cls`` and these files."""
    schema = object_schema(cls)
    schema["properties"] |= {name: {"type": "string", "format": "binary", "description": "a file"} for name in files}
    return _body("multipart/form-data", schema)


def _body(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}
