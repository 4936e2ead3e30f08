"""What OpenAPI says of the routes beside their own words: problems, headers, image files, further schemas."""

from typing import Any, get_args

from fastapi import FastAPI
from pydantic import BaseModel

from serving import cards, problems
from serving.bodies import Fault, Problem
from serving.problems import Kind

FILE = {"type": "string", "contentEncoding": "binary"}
IMAGES = {f"image/{format}": {"schema": FILE} for format in get_args(cards.Format)}

HEADERS = {
    name: {"description": description, "schema": {"type": "string"}}
    for name, description in {
        "X-Seed": "The seed of the first card.",
        "X-Model-Version": "The version of the generator.",
        "X-Label": "The kind of the one card in an image file, percent-encoded, where the models know kinds.",
    }.items()
}


class Holofoil(FastAPI):
    """FastAPI whose OpenAPI also has the schemas that only our refusals use."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (Problem, Fault):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        return document


def parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    """Describe the parameters of a query, in which null means to leave one out."""
    schema = query.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "description": field["description"],
            "schema": field["anyOf"][0] if "anyOf" in field else field,
        }
        for name, field in schema["properties"].items()
    ]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems a route may answer with."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    titles: dict[int, list[str]] = {}
    for kind in vars(problems).values():
        if isinstance(kind, Kind) and kind.status in statuses:
            titles.setdefault(kind.status, []).append(f"`{kind.name}`: {kind.title}.")
    return {
        status: {"description": " ".join(lines), "content": {problems.MEDIA_TYPE: {"schema": schema}}}
        for status, lines in sorted(titles.items())
    }
