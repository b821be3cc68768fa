"""The application: all endpoints behind the guard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from genai.core.errors import RunError, UserError
from genai.server.docs_page import STYLE, STYLE_PATH, docs_page
from genai.server.gallery_api import preferences_router, samples_router
from genai.server.json_body import JSONAnswer
from genai.server.openai_audio import audio_router
from genai.server.openai_errors import APIError, answer_error
from genai.server.openai_images import images_router
from genai.server.openai_models import models_router
from genai.server.openai_text import text_router
from genai.server.openai_videos import videos_router
from genai.server.own_api import jobs_router, options_router
from genai.server.runs_api import machine_router, runs_router
from genai.server.security import Guard
from genai.server.service import Service
from genai.server.settings import ServeSettings
from genai.server.studio_page import studio_router
from genai.server.training_api import training_router
from genai.server.verify_api import verify_router
from genai.version import __version__

DESCRIPTION = "Models of genai over HTTP: OpenAI's endpoints below /v1, and jobs with every option below /api."


def create_app(settings: ServeSettings) -> tuple[ASGIApp, Service]:
    """Return the application and its service. Raises ``UserError`` for settings that let others in."""
    key, service = settings.read_key(), Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="genai", version=__version__, description=DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url=None, redirect_slashes=False,
    )  # fmt: skip
    for kind in (
        APIError, UserError, RunError, RequestValidationError, HTTPException, ClientDisconnect, Exception,
    ):  # fmt: skip
        app.add_exception_handler(kind, answer_error)
    routers = (models_router, text_router, images_router, audio_router, videos_router, jobs_router, options_router,
               samples_router, preferences_router, runs_router, machine_router, training_router,
               verify_router)  # fmt: skip
    for router in routers:
        app.include_router(router(service))
    app.include_router(studio_router())
    _add_pages(app, service)
    return Guard(app, key, settings.host, settings.hosts, settings.origins, service.limits.body), service


def _add_pages(app: FastAPI, service: Service) -> None:
    """Add what describes the server itself."""

    @cache
    def page() -> str:
        return docs_page(app.openapi())

    @app.get("/healthz", summary="Say whether the server takes requests.", tags=["server"])
    async def check_health() -> Response:
        return JSONAnswer({"status": "draining" if service.is_draining else "ok"}, 503 if service.is_draining else 200)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(_: Request) -> Response:
        return JSONAnswer(app.openapi())

    @app.get("/docs", include_in_schema=False)
    async def docs(_: Request) -> Response:
        return HTMLResponse(page())

    @app.get(STYLE_PATH, include_in_schema=False)
    async def docs_style(_: Request) -> Response:
        return Response(STYLE, media_type="text/css")
