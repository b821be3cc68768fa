"""OpenAI's ``/v1/models``."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from genai.server.json_body import JSONAnswer
from genai.server.models import ModelEntry
from genai.server.service import Service


def models_router(service: Service) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", summary="List the models.")
    def list_models() -> Response:
        entries = service.models.entries()
        return JSONAnswer({"object": "list", "data": [_describe(name, entry) for name, entry in entries.items()]})

    @router.get("/v1/models/{model_id}", summary="Describe a model.")
    def retrieve_model(model_id: str) -> Response:
        return JSONAnswer(_describe(model_id, service.models.find(model_id)))

    return router


def _describe(name: str, entry: ModelEntry) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": entry.created, "owned_by": "genai", "modality": entry.modality}
