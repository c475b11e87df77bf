"""One run: sockets in, records out. Wires transport, protocol and flow; decides nothing else."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import TYPE_CHECKING, Final

