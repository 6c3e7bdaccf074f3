"""The official clients on a shape, through transports of their own: it reads what they send, they what it writes."""

import json

import anthropic
import httpx
import httpx2
import openai
from hypothesis import strategies as st

from scrimp.routing.calls.call import TextDelta, ToolCall, ToolDelta
from scrimp.routing.prices.usage import Usage
from scrimp.routing.serving.shapes.anthropic import Anthropic
from scrimp.routing.serving.shapes.openai_chat import OpenAIChat
from scrimp.routing.serving.shapes.openai_responses import OpenAIResponses
from scrimp.routing.serving.shapes.shape import STATUS, Sent, ShapeError

SHAPES = {"/v1/chat/completions": OpenAIChat(), "/v1/responses": OpenAIResponses(), "/v1/messages": Anthropic()}

USAGE = Usage(120, 30, cached_tokens=100, reasoning_tokens=7)

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def sent(text="", calls=(), finish="stop", usage=USAGE):
    calls = tuple(ToolCall(f"call_{n}", name, arguments) for n, (name, arguments) in enumerate(calls))
    return Sent("r1", "small", 1_790_000_000, text, calls, finish, usage, "0.0012")


class Endpoint:
    """Answers every request with one answer, streamed in the pieces given where the client asks for it."""

    def __init__(self, answer=None, pieces=(), broken=None):
        self.answer, self.pieces, self.broken = answer, list(pieces), broken
        self.wanted = None
        self.streamed = b""

    def _reply(self, path, body, headers):
        shape = SHAPES[path]
        try:
            self.wanted = wanted = shape.read(json.loads(body), {key.lower(): item for key, item in headers.items()})
        except ShapeError as error:
            return error.status, shape.error(error.kind, error.message, param=error.param, id="r1")
        if self.answer is None:
            return STATUS[self.broken], shape.error(self.broken, "a cap leaves too little", id="r1")
        if not wanted.stream:
            return 200, shape.whole(wanted, self.answer)
        out = shape.stream(wanted, id=self.answer.id, model=self.answer.model, created=self.answer.created)
        chunks = [out.begin(), *map(out.delta, self.pieces), out.ping()]
        chunks.append(out.end(self.answer) if self.broken is None else out.error(self.broken, "it broke off"))
        self.streamed = b"".join(chunks)
        return 200, self.streamed

    def _handler(self, library):
        def handle(request):
            status, body = self._reply(request.url.path, request.content, dict(request.headers))
            if isinstance(body, bytes):
                return library.Response(status, content=body, headers={"content-type": "text/event-stream"})
            return library.Response(status, json=body)

        return handle

    def openai(self):
        client = httpx.Client(transport=httpx.MockTransport(self._handler(httpx)))
        return openai.OpenAI(api_key="k", base_url="http://scrimp/v1", http_client=client, max_retries=0)

    def anthropic(self):
        client = httpx2.Client(transport=httpx2.MockTransport(self._handler(httpx2)))
        return anthropic.Anthropic(api_key="k", base_url="http://scrimp", http_client=client, max_retries=0)

    def events(self):
        """The data of every event that was streamed."""
        lines = self.streamed.decode("ascii").split("\n")
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=40)
objects = st.dictionaries(texts, st.one_of(texts, st.integers(-(2**53), 2**53), st.booleans(), st.none()), max_size=3)
tool_calls = st.lists(st.tuples(st.sampled_from(["weather", "look_up"]), objects.map(json.dumps)), max_size=3)


def cut(draw, whole):
    """A text in pieces."""
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    return [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]


@st.composite
def answers(draw):
    """An answer, and pieces that came of it: all, or only the first; those of several tool calls may be mixed."""
    text, calls = draw(st.one_of(st.just(""), texts)), draw(tool_calls)
    answer = sent(text, calls, draw(st.sampled_from(["stop", "length", "content_filter", "refusal", None, "eos"])))
    pieces = [TextDelta(piece) for piece in cut(draw, text)]
    queues = []
    for n, call in enumerate(answer.tool_calls):
        parts = [ToolDelta(n, arguments=piece) for piece in cut(draw, call.arguments)]
        queues.append([ToolDelta(n, call.id, call.name), *parts])
    if draw(st.booleans()):
        queues = [[piece for queue in queues for piece in queue]]
    while any(queues):
        pieces.append(draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    return answer, pieces[: draw(st.integers(0, len(pieces)))]
