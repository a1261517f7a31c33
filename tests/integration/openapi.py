"""An OpenAPI document held against the binary it describes: its routes, and every reply of a test.

Only what our documents use of JSON Schema is understood; a keyword that is not is an error, so that no rule is
silently skipped.
"""

import os
import re
import subprocess

import yaml

from evidence import ROOT
from suite import is_iso_time

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TYPES = {"string": str, "object": dict, "array": list, "boolean": bool, "null": type(None)}
FORMATS = {"date-time": is_iso_time, "uuid": lambda text: UUID.fullmatch(text) is not None}
UNDERSTOOD = {"$ref", "type", "properties", "required", "additionalProperties", "items", "enum", "format", "pattern",
              "minimum", "maximum", "minItems", "maxItems", "maxLength", "minLength", "description", "allOf", "const",
              "default", "examples"}
METHODS = ("get", "post", "put", "patch", "delete", "options")


class Mismatch(AssertionError):
    pass


def is_type(value, name):
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


class Document:
    def __init__(self, path):
        with open(path, encoding="utf-8") as text:
            self.tree = yaml.safe_load(text)

    # routes

    def routes(self):
        return {(method.upper(), path) for path, item in self.tree["paths"].items() for method in item if method in METHODS}

    @staticmethod
    def routes_of(binary):
        out = subprocess.run([binary, "--print-routes"], check=True, text=True, stdout=subprocess.PIPE).stdout
        return {tuple(line.split()[:2]) for line in out.splitlines()}

    def operation(self, method, target):
        """(template, operation) for a request, or None."""
        path = target.partition("?")[0]
        for template, item in self.tree["paths"].items():
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, path) and method.lower() in item:
                return template, item[method.lower()]
        return None

    # replies

    def check(self, method, target, reply):
        """Fails unless the reply is one the document allows."""
        found = self.operation(method, target)
        if not found:
            raise Mismatch(f"{method} {target} is not in the document")
        template, operation = found
        answer = operation["responses"].get(str(reply.status))
        if answer is None:
            raise Mismatch(f"{method} {template} answered {reply.status}, which is not in the document: {reply}")
        answer = self.resolve(answer)
        for name, header in answer.get("headers", {}).items():
            if self.resolve(header).get("required") and name not in reply.headers:
                raise Mismatch(f"{method} {template} {reply.status}: no header {name}")
        if "content" not in answer:
            if reply.body:
                raise Mismatch(f"{method} {template} {reply.status}: a body of {len(reply.body)} bytes")
            return
        schema = answer["content"]["application/json"]["schema"]
        self.validate(reply.json, schema, f"{method} {template} {reply.status}")

    def resolve(self, node):
        while "$ref" in node:
            target = self.tree
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def validate(self, value, schema, where):
        schema = self.resolve(schema)
        unknown = set(schema) - UNDERSTOOD
        if unknown:
            raise Mismatch(f"{where}: the schema has {unknown}, which is not understood")
        for part in schema.get("allOf", ()):
            self.validate(value, part, where)
        types = schema.get("type", [])
        types = types if isinstance(types, list) else [types]
        if types and not any(is_type(value, name) for name in types):
            raise Mismatch(f"{where}: {value!r} is no {types}")
        if "enum" in schema and value not in schema["enum"]:
            raise Mismatch(f"{where}: {value!r} is none of {schema['enum']}")
        if "const" in schema and value != schema["const"]:
            raise Mismatch(f"{where}: {value!r} is not {schema['const']!r}")
        if isinstance(value, str):
            self._string(value, schema, where)
        elif isinstance(value, dict):
            self._object(value, schema, where)
        elif isinstance(value, list):
            if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
                raise Mismatch(f"{where}: {len(value)} items")
            for index, item in enumerate(value):
                self.validate(item, schema.get("items", {}), f"{where}[{index}]")
        elif is_type(value, "number"):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                raise Mismatch(f"{where}: {value} is out of range")

    @staticmethod
    def _string(value, schema, where):
        form = schema.get("format")
        if form and not FORMATS[form](value):
            raise Mismatch(f"{where}: {value!r} is no {form}")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            raise Mismatch(f"{where}: {value!r} does not match {schema['pattern']}")
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            raise Mismatch(f"{where}: {len(value)} characters")

    def _object(self, value, schema, where):
        properties = schema.get("properties", {})
        missing = set(schema.get("required", ())) - set(value)
        if missing:
            raise Mismatch(f"{where}: without {sorted(missing)}")
        more = set(value) - set(properties)
        if more and schema.get("additionalProperties") is False:
            raise Mismatch(f"{where}: with {sorted(more)}")
        for name, item in value.items():
            if name in properties:
                self.validate(item, properties[name], f"{where}.{name}")
            elif isinstance(schema.get("additionalProperties"), dict):
                self.validate(item, schema["additionalProperties"], f"{where}.{name}")


def document_of(service):
    """The document beside the service's README, or None."""
    path = os.path.join(ROOT, "services", service, "openapi.yaml")
    return Document(path) if os.path.exists(path) else None


def check_document(document):
    """References resolve, nothing is left over, every operation has a name of its own and says who may call it."""
    text = str(document.tree)
    for kind, entries in document.tree["components"].items():
        for name in entries:
            used = f"'{name}': []" if kind == "securitySchemes" else f"#/components/{kind}/{name}'"
            if used not in text:
                raise Mismatch(f"{kind}/{name} is not used")
    _resolve_all(document, document.tree)
    operations = [item[method] for item in document.tree["paths"].values() for method in METHODS if method in item]
    names = [operation["operationId"] for operation in operations]
    if len(names) != len(set(names)):
        raise Mismatch("two operations have one name")
    silent = [operation["operationId"] for operation in operations if "security" not in operation]
    if silent:
        raise Mismatch(f"{silent} do not say who may call")


def _resolve_all(document, node):
    if isinstance(node, dict):
        if "$ref" in node:
            document.resolve(node)
        for item in node.values():
            _resolve_all(document, item)
    elif isinstance(node, list):
        for item in node:
            _resolve_all(document, item)
