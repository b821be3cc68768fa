"""``/docs``: the endpoints and their fields as one page of plain HTML, without scripts."""

from collections.abc import Mapping
from html import escape
from typing import Any

STYLE_PATH = "/docs.css"
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
body{color:#1b1f24;background:#fff}
h2{margin-top:2.5rem}h3{margin-bottom:.2rem;font-size:1rem}code{font-family:ui-monospace,monospace}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}
td{border-top:1px solid #ccd3da;padding:.2rem .8rem .2rem 0;vertical-align:top}
.method{display:inline-block;min-width:4.5rem;font-weight:bold}
@media(prefers-color-scheme:dark){body{color:#e6e9ec;background:#16191d}a{color:#8ab8ff}td{border-color:#3a424a}}
"""


def docs_page(schema: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI schema."""
    groups: dict[str, list[str]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["server"])[0]
            groups.setdefault(tag, []).append(_operation(path, method, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in groups.items())
    title = escape(schema["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="{STYLE_PATH}"></head>'
        f"<body><h1>{title}</h1><p>{escape(schema['info'].get('description', ''))} "
        f'The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>{sections}</body></html>'
    )


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    head = f'<h3><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h3>'
    rows = [
        _row(each["name"], each.get("schema", {}), each.get("description", ""), each.get("required", False))
        for each in operation.get("parameters", [])
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        required = schema.get("required", [])
        for name, field in schema.get("properties", {}).items():
            rows.append(_row(name, field, field.get("description", ""), name in required))
    table = f"<table>{''.join(rows)}</table>" if rows else ""
    return f"{head}<p>{escape(operation.get('summary', ''))}</p>{table}"


def _row(name: str, schema: Mapping[str, Any], description: str, is_required: bool) -> str:
    cells = (f"<code>{escape(name)}</code>", escape(_type_text(schema, is_required)), escape(description))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _type_text(schema: Mapping[str, Any], is_required: bool) -> str:
    """Return type, range and default for people: ``integer, from 1, default 16``."""
    names = [schema["type"]] if isinstance(schema.get("type"), str) else []
    names += [str(each.get("type", "")) for each in schema.get("anyOf", []) if each.get("type")]
    parts = [" or ".join(dict.fromkeys(names))] if names else []
    if "enum" in schema:
        parts = [" or ".join(map(str, schema["enum"]))]
    parts += [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    if is_required:
        parts.append("required")
    elif schema.get("default") not in (None, "", {}, []):
        parts.append(f"default {schema['default']}")
    return ", ".join(parts)
