"""Snippets of a document, run as its reader would run them."""

import ast
import asyncio
import inspect
import re
import shlex
import textwrap
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, Final, cast

import pytest

import streamforge_core as sf

_FENCE: Final = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_PUBLIC_NAME: Final = re.compile(r"\bsf\.(\w+)")

ENOUGH_CANDLES: Final = 2
PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Snippet:
    """A fenced block.

    Attributes:
        line: Of its first line of code, counted from 1.
        language: "python", "console", ...
        code: Its text, indentation of the whole removed.
    """

    file: Path
    line: int
    language: str
    code: str

    def public_names(self) -> list[str]:
        """Return the names of the library that it uses, in order."""
        return list(dict.fromkeys(_PUBLIC_NAME.findall(self.code)))

    def commands(self) -> list[list[str]]:
        """Return its `streamforge` command lines, each as its arguments."""
        lines = [shlex.split(line, comments=True) for line in self.code.splitlines()]
        return [words[1:] for words in lines if words[:1] == ["streamforge"]]

    def compiled(self) -> CodeType:
        """Return its code; `await` and `async for` may stand outside a function.

        Raises:
            SyntaxError: It is no program: the shape of something, or arguments without a call.
        """
        # Empty lines in front let a traceback name the line of the document.
        padded = "\n" * (self.line - 1) + self.code
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        return cast(CodeType, compile(padded, str(self.file), "exec", flags=flags))

    def run(self, names: dict[str, Any]) -> None:
        """Execute it in a namespace, and the `async def main` that it defines and never calls."""
        code = self.compiled()
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, names))  # noqa: S307 - a document of ours
        else:
            exec(code, names)  # noqa: S102 - likewise
        if "async def main()" in self.code and "asyncio.run(" not in self.code:
            asyncio.run(names["main"]())


def snippets(file: Path, *languages: str) -> Iterator[Snippet]:
    """Yield a document's fenced blocks in some languages."""
    text = file.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        if found[2] in languages:
            line = text.count("\n", 0, found.start(3)) + 1
            yield Snippet(file, line, found[2], textwrap.dedent(found[3]))


def end_endless_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `run()` and `stream()` of every runner end by themselves after a few closed candles."""
    endless_run, endless_stream = sf.Runner.run, sf.Runner.stream

    async def run(self: sf.Runner) -> None:
        watcher = _Watcher()
        self.register_emitter(watcher)
        task = asyncio.create_task(endless_run(self))
        enough = asyncio.create_task(watcher.enough.wait())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.wait({task, enough}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            enough.cancel()
            await self.stop()
            await task

    async def stream(self: sf.Runner) -> AsyncGenerator[sf.Kline, None]:
        seen = 0
        async with asyncio.timeout(PATIENCE_S), aclosing(endless_stream(self)) as candles:
            async for kline in candles:
                yield kline
                seen += 1
                if seen == ENOUGH_CANDLES:
                    return

    monkeypatch.setattr(sf.Runner, "run", run)
    monkeypatch.setattr(sf.Runner, "stream", stream)


class _Watcher(sf.Emitter):
    """Tells the loop it was made in when enough candles came; emitters live in threads."""

    def __init__(self) -> None:
        super().__init__()
        self.enough = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._seen = 0

    def emit(self, data: sf.Kline) -> None:
        del data
        self._seen += 1
        if self._seen == ENOUGH_CANDLES:
            self._loop.call_soon_threadsafe(self.enough.set)
