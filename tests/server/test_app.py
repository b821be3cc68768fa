"""The pages about the server, and errors in one shape."""

import re

from starlette.testclient import TestClient


def test_the_docs_have_no_scripts_and_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "<script" not in page and " style=" not in page
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page)) == {"/docs.css", "/openapi.json"}
    for words in (
        "/v1/chat/completions",
        "max_tokens",
        "number of answers to each prompt",
        "/api/jobs/{job_id}/events",
    ):
        assert words in page
    assert client.get("/docs.css").headers["content-type"].startswith("text/css")


def test_the_schema_names_every_endpoint_and_its_fields(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert {"/v1/models", "/v1/completions", "/v1/images/edits", "/v1/videos/{video_id}/content"} <= schema[
        "paths"
    ].keys()
    content = schema["paths"]["/v1/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert content["required"] == ["model"] and content["properties"]["n"]["minimum"] == 1


def test_all_errors_have_one_shape(client: TestClient) -> None:
    for response, status in (
        (client.get("/nothing"), 404),
        (client.get("/v1/completions"), 405),
        (client.get("/v1/models/none"), 404),
        (client.get("/api/jobs/none"), 404),
        (client.get("/api/options"), 400),
        (client.get("/api/jobs/none/results/x"), 400),
    ):
        error = response.json()["error"]
        assert response.status_code == status and error.keys() == {"message", "type", "param", "code"}, response.text
        assert isinstance(error["message"], str)


def test_health_is_told(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
