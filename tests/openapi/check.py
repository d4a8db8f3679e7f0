"""Holds openapi.yaml and asyncapi.yaml to their formats, their examples to their schemas, and answers to both.

Reads {"answers": […], "payloads": […]} and prints what is wrong and what was met, as JSON. An answer has `method`,
`route`, `status`, `headers` (names in lower case) and `body` (text); a payload has `message`, of asyncapi.yaml, and
`value`, and perhaps `headers`. Answers and examples may have no field that is not described.
"""

import json
import pathlib
import sys

import jsonschema_rs
import openapi_spec_validator
import yaml

PROJECT = pathlib.Path(__file__).parents[2]
METHODS = {"get", "post", "put", "patch", "delete"}


class Loader(yaml.SafeLoader):
    """YAML 1.2, as both formats are: what looks like a time is text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
DOCUMENTS = {name: yaml.load((PROJECT / name).read_text(), Loader) for name in ["openapi.yaml", "asyncapi.yaml"]}


def resolved(node, document):
    """The node without references, and without the discriminator, which says in other words what `oneOf` says."""
    if isinstance(node, list):
        return [resolved(each, document) for each in node]
    if not isinstance(node, dict):
        return node
    node = {name: value for name, value in node.items() if name != "discriminator"}
    reference = node.pop("$ref", None)
    found = {}
    if reference is not None:
        file, _, pointer = reference.partition("#/")
        document = pathlib.PurePath(file).name or document
        target = DOCUMENTS[document]
        for name in pointer.split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        found = resolved(target, document)
    return {**found, **{name: resolved(value, document) for name, value in node.items()}}


def strict(schema, inside=False):
    """The schema, less what it leaves open: a property that is nowhere described."""
    if isinstance(schema, list):
        return [strict(each, inside) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {}
    for name, value in schema.items():
        if name == "properties":
            made[name] = {each: strict(property) for each, property in value.items()}
        elif name in ["allOf", "anyOf", "oneOf", "if", "then", "else"]:
            # Each describes a part; but the alternatives of a schema without properties of its own are whole.
            made[name] = strict(value, inside=name == "allOf" or "properties" in schema)
        elif name in ["items", "additionalProperties"]:
            made[name] = strict(value)
        else:
            made[name] = value
    has_properties = "properties" in made or "allOf" in made
    if has_properties and not inside and "additionalProperties" not in made:
        made["unevaluatedProperties"] = False
    return made


def wrong(schema, value):
    validator = jsonschema_rs.Draft202012Validator(strict(schema), validate_formats=True)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(value)]


def examples(node, at):
    """Every example with its schema: of parameters, bodies and answers."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return
    if isinstance(node.get("schema"), dict) and isinstance(node.get("examples"), dict):
        for name, example in node["examples"].items():
            yield f"{at}/examples/{name}", node["schema"], example["value"]
    for name, value in node.items():
        yield from examples(value, f"{at}/{name}")


def check_answer(answer, described):
    """What is wrong with it, and which of the description's answers it is."""
    operation = described["paths"].get(answer["route"], {}).get(answer["method"].lower())
    # What no route takes is answered like what some route takes, but by another method.
    responses = (operation or next(iter(described["paths"][answer["route"]].values())))["responses"]
    response = responses.get(str(answer["status"]))
    if response is None:
        return ["the status is not described"], None
    found = []
    for name, header in response.get("headers", {}).items():
        value = answer["headers"].get(name.lower())
        if value is None:
            found += [f"{name} is missing"] if header.get("required") else []
        else:
            value = int(value) if header["schema"].get("type") == "integer" else value
            found += [f"{name} {complaint}" for complaint in wrong(header["schema"], value)]
    if "content" not in response:
        return found + (["there is a body"] if answer["body"] else []), ""
    media_type = answer["headers"].get("content-type", "").split(";")[0]
    media = response["content"].get(media_type)
    if media is None:
        return [*found, f"{media_type} is not described"], None
    body = json.loads(answer["body"]) if media_type.endswith("json") else answer["body"]
    return found + wrong(media["schema"], body), media_type


def main():
    given = json.load(sys.stdin)
    complaints = []
    openapi_spec_validator.validate(DOCUMENTS["openapi.yaml"])
    described = resolved(DOCUMENTS["openapi.yaml"], "openapi.yaml")
    messages = resolved(DOCUMENTS["asyncapi.yaml"], "asyncapi.yaml")["components"]["messages"]

    count = 0
    for at, schema, value in examples(described["paths"], ""):
        count += 1
        complaints += [f"{at}: {complaint}" for complaint in wrong(schema, value)]
    for name, message in messages.items():
        for example in message["examples"]:
            count += 1
            complaints += [f"{name}: {complaint}" for complaint in wrong(message["payload"], example["payload"])]
            if "headers" in example:
                complaints += [f"{name}: {complaint}" for complaint in wrong(message["headers"], example["headers"])]

    met = set()
    for answer in given["answers"]:
        found, media_type = check_answer(answer, described)
        complaints += [f"{answer}: {complaint}" for complaint in found]
        met.add(f"{answer['method']} {answer['route']} {answer['status']} {media_type}".strip())
    for payload in given["payloads"]:
        message = messages[payload["message"]]
        complaints += [f"{payload['value']}: {found}" for found in wrong(message["payload"], payload["value"])]
        if "headers" in payload:
            complaints += [f"{payload['headers']}: {found}" for found in wrong(message["headers"], payload["headers"])]

    all_described = {
        f"{method.upper()} {route} {status} {media_type}".strip()
        for route, operations in described["paths"].items()
        for method, operation in operations.items()
        if method in METHODS
        for status, response in operation["responses"].items()
        for media_type in response.get("content", [""])
    }
    json.dump({"complaints": complaints, "examples": count, "unmet": sorted(all_described - met)}, sys.stdout)


main()
