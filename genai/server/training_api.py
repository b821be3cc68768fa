"""``/api/training`` and ``/api/check``: trainings that begin on the page, if the server's owner allows it."""

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from genai.server.api_schema import json_request
from genai.server.json_body import JSONAnswer, read_object
from genai.server.service import Service
from genai.server.training import TrainingRequest


def training_router(service: Service) -> APIRouter:
    """Return the endpoints of trainings."""
    router, training = APIRouter(prefix="/api", tags=["training"]), service.training

    @router.get("/training", summary="Say what can be trained here, and what is trained.")
    async def list_trainings() -> Response:
        return JSONAnswer(await run_in_threadpool(training.describe))

    @router.post(
        "/training", summary="Start a training; one goes on at a time.", status_code=202,
        openapi_extra=json_request(TrainingRequest),
    )  # fmt: skip
    async def start_training(request: Request) -> Response:
        training.check_enabled()
        process = await run_in_threadpool(training.start, await read_object(request))
        entry = await run_in_threadpool(training.describe_process, process)
        return JSONAnswer(entry, 202, {"Location": f"/api/training/{process.id}"})

    @router.get("/training/{training_id}", summary="Say how far a training is.")
    async def retrieve_training(training_id: str) -> Response:
        return JSONAnswer(await run_in_threadpool(training.describe_process, training.find(training_id)))

    @router.delete("/training/{training_id}", summary="Let a training save and end.")
    async def stop_training(training_id: str) -> Response:
        process = training.find(training_id)
        await run_in_threadpool(process.stop)
        return JSONAnswer(await run_in_threadpool(training.describe_process, process))

    @router.get("/check", summary="Say what a training would read from a data set, and what it would leave out.")
    async def check_data(data: str) -> Response:
        training.check_enabled()
        return JSONAnswer(await run_in_threadpool(training.check, data))

    return router
