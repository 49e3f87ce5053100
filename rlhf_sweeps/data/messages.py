"""Chat messages: prompts and answers from the cells of a data set, and the identity of prompts."""

import ast
import hashlib
import json
import re
import warnings
from typing import Any

from rlhf_sweeps.data.constants import LONGEST_QUOTE
from rlhf_sweeps.wording import cut, quote_message

Messages = list[dict[str, str]]
# Two prompts that differ in white space only have the same identity.
Identity = tuple[tuple[str, str], ...]

ROLES = ("system", "user", "assistant")
# Looks like a message in a text: as JSON, as JSON within JSON, or as Python prints it.
_MESSAGE = re.compile(rf"""['"]role\\*['"]\s*:\s*\\*['"]({"|".join(ROLES)})\b""")


class RowError(ValueError):
    """A row cannot be used; the message says why, and the caller adds the place of the row."""


def as_text(messages: Messages) -> str:
    """Messages as plain text: the content of a single message, or lines `role: content` of several."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)


def identify(messages: Messages) -> Identity:
    """The identity of a prompt: equal for two prompts that differ in white space only."""
    return tuple((message["role"], " ".join(message["content"].split())) for message in messages)


def hash_prompt(prompt: Identity) -> str:
    """The SHA-256 of a prompt's identity, 64 hexadecimal digits; it depends on no other row."""
    messages = [{"role": role, "content": content} for role, content in prompt]
    return hashlib.sha256(json.dumps(messages).encode()).hexdigest()


def read_prompt(cell: Any) -> Messages:
    """A prompt as messages that end on a user's message; a plain text is one user's message.

    Raises:
        RowError: if the cell holds something else.
    """
    cell = _parse_cell(cell)
    prompt = _read_messages([{"role": "user", "content": cell}] if isinstance(cell, str) else cell, "a prompt")
    if not prompt or prompt[-1]["role"] != "user" or not prompt[-1]["content"].strip():
        raise RowError("a prompt must end on a user's text that is not empty")
    return prompt


def read_answer(cell: Any, prompt: Messages, name: str) -> str:
    """An answer: a text, one assistant message, or the whole conversation that begins with the prompt.

    Raises:
        RowError: if the cell holds something else; the message calls it `name`.
    """
    cell = _parse_cell(cell)
    if isinstance(cell, str):
        _check_text(cell)
        answer = cell
    else:
        conversation = _read_messages(cell, name)
        if not conversation or conversation[-1]["role"] != "assistant":
            raise RowError(f"{name} must end on an assistant's message")
        if len(conversation) > 1 and identify(conversation[:-1]) != identify(prompt):
            raise RowError(
                f"{name} must be one assistant message, or begin with the prompt and end on one "
                "(prompt_column=null takes what both answers begin with as the prompt)"
            )
        answer = conversation[-1]["content"]
    if not answer.strip():
        raise RowError(f"{name} must not be empty")
    return answer


def read_shared_prompt(chosen: Any, rejected: Any) -> Messages:
    """The prompt that two conversations share, before one assistant message each.

    Raises:
        RowError: if they share none, or anything else follows it.
    """
    chosen, rejected = _parse_cell(chosen), _parse_cell(rejected)
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise RowError("to contain the prompt, both answers must be lists of messages; one is a text")
    ours, theirs = _read_messages(chosen, "the chosen answer"), _read_messages(rejected, "the rejected answer")
    ends = {message["role"] for conversation in (ours, theirs) for message in conversation[-1:]}
    if identify(ours[:-1]) != identify(theirs[:-1]) or ends != {"assistant"}:
        raise RowError("the two conversations must be the same but for one last assistant message each")
    return read_prompt(ours[:-1])


def _parse_cell(cell: Any) -> Any:
    """The messages that a text contains as JSON or as Python prints them, as in a CSV file; else the cell itself."""
    if not isinstance(cell, str) or cell.lstrip()[:1] not in ("[", "{", '"'):
        return cell
    try:
        content = _parse(cell)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        if cell.lstrip()[0] == '"' or not _MESSAGE.search(cell):
            return cell  # a plain text that begins with a quotation mark or a bracket
        raise RowError(f"messages in a text must be JSON, or as Python prints them ({quote_message(error)})") from error
    if isinstance(content, dict) and "messages" in content:
        content = content["messages"]
    messages = [content] if isinstance(content, dict) else content
    is_conversation = isinstance(messages, list) and all(isinstance(message, dict) for message in messages)
    return content if is_conversation and any(_is_message(message) for message in messages) else cell


def _parse(text: str) -> Any:
    """The value in a JSON or Python text, parsed again as long as it is such a text itself."""
    try:
        content = json.loads(text)
    except ValueError:
        with warnings.catch_warnings():  # about invalid escapes
            warnings.simplefilter("ignore")
            content = ast.literal_eval(text.strip())
    return _parse(content) if isinstance(content, str) and content.lstrip()[:1] in ("[", "{") else content


def _is_message(message: dict[str, Any]) -> bool:
    """Whether an object is a chat message, in our form or in the form `from`, `value`, which is refused later."""
    return message.get("role") in ROLES or {"from", "value"} <= message.keys()


def _read_messages(cell: Any, name: str) -> Messages:
    if hasattr(cell, "tolist"):  # arrays of numpy and pyarrow
        cell = cell.tolist()
    if not isinstance(cell, list | tuple) or not all(isinstance(message, dict) for message in cell):
        kind = "null" if cell is None else f"a {type(cell).__name__}"
        raise RowError(f"{name} must be a text or a list of messages, is {kind}")
    for message in cell:
        if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
            raise RowError(
                f"a message must have a role ({', '.join(ROLES)}) and a text as content, {_describe_fault(message)}"
            )
        _check_text(message["content"])
    return [{"role": message["role"], "content": message["content"]} for message in cell]


def _describe_fault(message: dict[str, Any]) -> str:
    """What is wrong with a message, as the end of a sentence."""
    if missing := [name for name in ("role", "content") if name not in message]:
        return f"has no {missing[0]} but {cut(', '.join(map(str, message)), LONGEST_QUOTE) or 'nothing'}"
    if message["role"] not in ROLES:
        return f"has the role {cut(str(message['role']), LONGEST_QUOTE)}"
    return f"has a {type(message['content']).__name__}"


def _check_text(text: str) -> None:
    """Refuse a text that cannot be written into a record."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError("a text holds half a character (a lone surrogate), which UTF-8 does not allow") from error
