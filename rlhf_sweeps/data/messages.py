"""Chat messages: what a cell of a data set must hold to be a prompt or an answer, and when two prompts are the same."""

import ast
import hashlib
import json
import re
import warnings
from typing import Any

from rlhf_sweeps.wording import cut, message_of

Messages = list[dict[str, str]]
# Prompts that differ in white space only have the same.
Identity = tuple[tuple[str, str], ...]

ROLES = ("system", "user", "assistant")
# What looks like a message that is written in a text, as JSON, maybe within JSON, or as Python prints it.
_MESSAGE = re.compile(rf"""['"]role\\*['"]\s*:\s*\\*['"]({"|".join(ROLES)})\b""")
LONGEST = 40  # characters of what is shown of a message


class RowError(ValueError):
    """A row cannot be used; the message says why, and whoever knows where adds it."""


def as_text(messages: Messages) -> str:
    """Messages as plain text: a single one is its content, several are lines `role: content`."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)


def identity(messages: Messages) -> Identity:
    """What two prompts share that differ in white space only."""
    return tuple((message["role"], " ".join(message["content"].split())) for message in messages)


def digest(prompt: Identity) -> str:
    """The SHA-256 of a prompt, 64 hexadecimal digits: what they say depends on no other row, nor on white space."""
    messages = [{"role": role, "content": content} for role, content in prompt]
    return hashlib.sha256(json.dumps(messages).encode()).hexdigest()


def read_prompt(cell: Any) -> Messages:
    """A prompt as messages that end on a user turn; a text is a user's.

    Raises:
        RowError: if the cell holds something else.
    """
    cell = _unwritten(cell)
    prompt = _messages([{"role": "user", "content": cell}] if isinstance(cell, str) else cell, "a prompt")
    if not prompt or prompt[-1]["role"] != "user" or not prompt[-1]["content"].strip():
        raise RowError("a prompt must end on a user's text that is not empty")
    return prompt


def read_answer(cell: Any, prompt: Messages, name: str) -> str:
    """An answer: a text, one assistant message, or the whole conversation that begins with the prompt.

    Raises:
        RowError: if the cell, which errors call `name`, holds something else.
    """
    cell = _unwritten(cell)
    if isinstance(cell, str):
        _check_text(cell)
        answer = cell
    else:
        conversation = _messages(cell, name)
        if not conversation or conversation[-1]["role"] != "assistant":
            raise RowError(f"{name} must end on an assistant's message")
        if len(conversation) > 1 and identity(conversation[:-1]) != identity(prompt):
            raise RowError(
                f"{name} must be one assistant message, or begin with the prompt and end on one "
                "(prompt_column=null takes what both answers begin with as the prompt)"
            )
        answer = conversation[-1]["content"]
    if not answer.strip():
        raise RowError(f"{name} must not be empty")
    return answer


def read_shared_prompt(chosen: Any, rejected: Any) -> Messages:
    """The prompt that two conversations begin with; each goes on with one assistant message.

    Raises:
        RowError: if they share none, or something else follows it.
    """
    chosen, rejected = _unwritten(chosen), _unwritten(rejected)
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise RowError("both answers must be lists of messages for a prompt to be found in them, one is a text")
    ours, theirs = _messages(chosen, "the chosen answer"), _messages(rejected, "the rejected answer")
    ends = {message["role"] for conversation in (ours, theirs) for message in conversation[-1:]}
    if identity(ours[:-1]) != identity(theirs[:-1]) or ends != {"assistant"}:
        raise RowError("the two conversations must be the same but for one last assistant message each")
    return read_prompt(ours[:-1])


def _unwritten(cell: Any) -> Any:
    """A cell, or the messages that are written in it, which is all that a CSV can hold; other JSON is a text."""
    if not isinstance(cell, str) or cell.lstrip()[:1] not in ("[", "{", '"'):
        return cell
    try:
        content = _parse(cell)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        if cell.lstrip()[0] == '"' or not _MESSAGE.search(cell):
            return cell  # words in quotation marks, or in brackets
        raise RowError(f"messages in a text must be JSON, or as Python prints them ({message_of(error)})") from error
    if isinstance(content, dict) and "messages" in content:
        content = content["messages"]
    messages = [content] if isinstance(content, dict) else content
    is_conversation = isinstance(messages, list) and all(isinstance(message, dict) for message in messages)
    return content if is_conversation and any(_is_message(message) for message in messages) else cell


def _parse(text: str) -> Any:
    """What is written in a text, and in the text that is written in it."""
    try:
        content = json.loads(text)
    except ValueError:
        with warnings.catch_warnings():  # of its escapes
            warnings.simplefilter("ignore")
            content = ast.literal_eval(text.strip())
    return _parse(content) if isinstance(content, str) and content.lstrip()[:1] in ("[", "{") else content


def _is_message(message: dict[str, Any]) -> bool:
    """Whether it is one, of ours or of those with other names, which are refused."""
    return message.get("role") in ROLES or {"from", "value"} <= message.keys()


def _messages(cell: Any, name: str) -> Messages:
    if hasattr(cell, "tolist"):  # arrays of numpy and pyarrow
        cell = cell.tolist()
    if not isinstance(cell, list | tuple) or not all(isinstance(message, dict) for message in cell):
        kind = "null" if cell is None else f"a {type(cell).__name__}"
        raise RowError(f"{name} must be a text or a list of messages, is {kind}")
    for message in cell:
        if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
            raise RowError(f"a message must have a role ({', '.join(ROLES)}) and a text as content, {_found(message)}")
        _check_text(message["content"])
    return [{"role": message["role"], "content": message["content"]} for message in cell]


def _found(message: dict[str, Any]) -> str:
    """What a message has that cannot be used."""
    if missing := [name for name in ("role", "content") if name not in message]:
        return f"has no {missing[0]} but {cut(', '.join(map(str, message)), LONGEST) or 'nothing'}"
    if message["role"] not in ROLES:
        return f"has the role {cut(str(message['role']), LONGEST)}"
    return f"has a {type(message['content']).__name__}"


def _check_text(text: str) -> None:
    """Refuse what could not be written into a record."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError("a text holds half a character (a lone surrogate), which UTF-8 does not allow") from error
