"""The strict base of every definition, and YAML loading whose errors name file, line and key."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from kdbench.errors import SuiteError

ModelT = TypeVar("ModelT", bound=BaseModel)


class Spec(BaseModel):
    """Immutable plain data; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def is_none(value: object) -> bool:
    """For ``Field(exclude_if=is_none)``: a field that only some kinds of a thing have is no part of the others."""
    return value is None


def load_yaml(path: Path, model: type[ModelT]) -> ModelT:
    """Read ``path`` with the safe loader and validate it as ``model``.

    Raises:
        SuiteError: one line per problem, each with file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
        twice = _repeated_key(root)
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path}: is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise SuiteError(f"{path}{line}: is not YAML: {getattr(error, 'problem', error)}") from error
    except ValueError as error:  # a date or number that cannot be
        raise SuiteError(f"{path}: is not YAML: {error}") from error
    if twice is not None:
        raise SuiteError(f"{path}:{twice.start_mark.line + 1}: {twice.value}: the key stands twice")
    if not isinstance(raw, dict):
        raise SuiteError(f"{path}: must be a mapping of keys, found {type(raw).__name__}")
    try:
        return model.model_validate(raw, context={"directory": path.parent})
    except ValidationError as error:
        raise SuiteError(_describe(error, model, path, root)) from None


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """A pydantic error as readable lines, for input that has no file (options, plugins)."""
    return "\n".join(f"{where}: {_problem(item, model)}" for item in _plain_errors(error))


def _describe(error: ValidationError, model: type[BaseModel], path: Path, root: yaml.Node | None) -> str:
    lines = []
    for item in _plain_errors(error):
        lines.append(f"{path}:{_line_of(root, item['loc'])}: {_problem(item, model)}")
    return "\n".join(dict.fromkeys(lines))


def _plain_errors(error: ValidationError) -> list[dict[str, Any]]:
    """Pydantic's errors without what it says about unions: a name or a definition may stand in one place.

    Where a definition was written, that it is no name either is not worth a line.
    """
    tags = {"str", "int", *(model.__name__ for model in _subclasses(Spec))}
    cleaned: list[tuple[bool, dict[str, Any]]] = []
    for item in error.errors():
        location = tuple(part for part in item["loc"] if not (part in tags or str(part).startswith("function-")))
        # not a name either, or a list that only seems short because its items are wrong
        follows = item["loc"][-1:] == ("str",) or item["type"] == "too_short"
        cleaned.append((follows, {**item, "loc": location}))
    places = [item["loc"] for follows, item in cleaned if not follows]
    return [
        item
        for follows, item in cleaned
        if not (follows and any(place[: len(item["loc"])] == item["loc"] for place in places))
    ]


def _subclasses(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [each for child in model.__subclasses__() for each in (child, *_subclasses(child))]


def _repeated_key(node: yaml.Node | None) -> yaml.Node | None:
    """The first key that stands twice in one mapping; the YAML loader would keep the last silently."""
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                return key  # type: ignore[no-any-return]
            seen.add(str(key.value))
            children.append(value)
    elif isinstance(node, yaml.SequenceNode):
        children = list(node.value)
    return next((found for child in children if (found := _repeated_key(child)) is not None), None)


def _problem(item: Any, model: type[BaseModel]) -> str:
    location = ".".join(str(part) for part in item["loc"]) or "(top level)"
    if item["type"] == "extra_forbidden":
        known = _fields_at(model, item["loc"][:-1])
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(sorted(known))}"
        return f"{location}: unknown key; {hint}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{location}: {message}"


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """The field names allowed at ``loc``; every model's when unions make the path ambiguous."""
    found: list[type[BaseModel]] = [model]
    for part in loc:
        deeper: list[type[BaseModel]] = []
        for candidate in found:
            field = candidate.model_fields.get(str(part))
            if field is not None:
                deeper.extend(_models_in(field.annotation))
            elif isinstance(part, int) or part not in candidate.model_fields:
                deeper.append(candidate)
        found = deeper or found
    return [name for candidate in found for name in candidate.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]


def _line_of(node: yaml.Node | None, loc: tuple[Any, ...]) -> int:
    """The 1-based line of the deepest node on the path ``loc`` that exists in the text."""
    line = node.start_mark.line if node else 0
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1
