"""Paid requests as OpenTelemetry spans and metrics, by the semantic conventions for generative AI, over OTLP/HTTP.

A request is a span; each of its calls is a client span below it. They are made from the ledger after the fact, so that
a killed process loses none, and their ids follow from the ledger's: what is sent twice is the same span.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.installer import how_to_add
from scrimp.profiles.money import NANO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from scrimp.profiles.schema import Otel

__all__ = ["Collector", "is_installed"]

_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Well-known values of gen_ai.provider.name, by LiteLLM's prefixes; where the two agree, none is listed."""

_TOKEN_BUCKETS: Final = [4**i for i in range(14)]
_SECOND_BUCKETS: Final = [0.01 * 2**i for i in range(14)]


def is_installed() -> bool:
    """Tell whether the extra is there."""
    from importlib.util import find_spec

    try:
        return (
            find_spec("opentelemetry.exporter.otlp.proto.http") is not None
            and find_spec("opentelemetry.sdk") is not None
        )
    except ModuleNotFoundError:
        return False


class Collector:
    """Where spans and metrics go.

    Raises
    ------
    ConfigError
        If OpenTelemetry is not installed.
    """

    def __init__(self, otel: Otel) -> None:
        if not is_installed():
            raise ConfigError("[otel] needs OpenTelemetry", hint=how_to_add("otel"))
        from importlib.metadata import version

        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry").propagate = False  # what goes wrong is said by us, once
        base = otel.endpoint.rstrip("/")
        self._spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=otel.timeout_s)
        self._metrics = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=otel.timeout_s)
        self._resource = Resource.create({"service.name": "scrimp", "service.version": version("scrimp")})
        self._scope = InstrumentationScope("scrimp", version("scrimp"))
        self._content = otel.content

    def export(self, calls: Sequence[Mapping[str, Any]], requests: Mapping[str, Mapping[str, Any]]) -> bool:
        """Send the spans and metrics of some calls and their requests; return whether they arrived.

        Parameters
        ----------
        calls, requests
            As `ledger.exports` returns them.
        """
        from opentelemetry.sdk.metrics.export import MetricExportResult
        from opentelemetry.sdk.trace.export import SpanExportResult

        if self._spans.export(self._all_spans(calls, requests)) is not SpanExportResult.SUCCESS:
            return False
        measured = self._measured(calls)
        return measured is None or self._metrics.export(measured) is MetricExportResult.SUCCESS

    def close(self) -> None:
        """Close the connections."""
        self._spans.shutdown()
        self._metrics.shutdown()

    # -- spans ------------------------------------------------------------------------------------------------------

    def _all_spans(
        self, calls: Iterable[Mapping[str, Any]], requests: Mapping[str, Mapping[str, Any]]
    ) -> list[ReadableSpan]:
        of: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for call in calls:
            of[call["request_id"]].append(call)
        spans = []
        for request_id, own in of.items():
            spans.append(self._request_span(request_id, requests.get(request_id), own))
            spans += [self._call_span(call) for call in own]
        return spans

    def _request_span(
        self, request_id: str, request: Mapping[str, Any] | None, calls: Sequence[Mapping[str, Any]]
    ) -> ReadableSpan:
        """Return a request's span: it lasts from when it was decided to the end of its last call."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.status import Status, StatusCode

        last = calls[-1]
        row: Mapping[str, Any] = request or {}
        charged = row["charged_nano"] if row else sum(call["charged_nano"] for call in calls)
        attributes: dict[str, Any] = {
            "scrimp.request.id": request_id,
            "scrimp.command": last["source"],
            "scrimp.profile": last["profile"],
            "scrimp.cost_usd": charged / NANO,
            "scrimp.tag": last["tag"],
            "scrimp.run.id": last["run_id"] if last["run_id"] != request_id else None,
            "scrimp.arm": row.get("arm") or last["arm_read"] or last["arm"],
            "scrimp.status": row.get("status"),
            "scrimp.propensity": row.get("propensity"),
            "scrimp.router.version": row.get("router_version"),
            "gen_ai.conversation.id": row.get("conversation_id"),
            **_decided(row),
        }
        if self._content and row.get("prompt") is not None:
            attributes |= _texts(row)
        bad = row.get("status") not in (None, "ok") or (not row and last["error_kind"] is not None)
        start = min(_ns(row.get("created_at") or calls[0]["at"]), *(_start(call) for call in calls))
        return self._span(
            f"scrimp {last['source']}",
            request_id,
            None,
            SpanKind.INTERNAL,
            attributes,
            Status(StatusCode.ERROR if bad else StatusCode.UNSET),
            start,
            max(_end(call) for call in calls),
        )

    def _call_span(self, call: Mapping[str, Any]) -> ReadableSpan:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.status import Status, StatusCode

        provider, model = _names(call)
        finish = call["finish_reason"]
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.request.max_tokens": call["output_limit"],
            "gen_ai.response.model": call["served_model"],
            "gen_ai.response.id": call["reply_id"],
            "gen_ai.response.finish_reasons": None if finish is None else [finish],
            "gen_ai.usage.input_tokens": call["input_tokens"],
            "gen_ai.usage.output_tokens": call["output_tokens"],
            "gen_ai.usage.cache_read.input_tokens": call["cached_tokens"],
            "gen_ai.usage.cache_creation.input_tokens": call["cache_write_tokens"],
            "gen_ai.usage.reasoning.output_tokens": call["reasoning_tokens"],
            "gen_ai.response.time_to_first_chunk": call["ttft_s"],
            "error.type": call["error_kind"],
            "scrimp.request.id": call["request_id"],
            "scrimp.call": call["id"],
            "scrimp.arm": call["arm_read"] or call["arm"],
            "scrimp.attempt.kind": call["kind"],
            "scrimp.attempt.number": call["seq"],
            "scrimp.cost_usd": None if call["cost_nano"] is None else call["cost_nano"] / NANO,
            "scrimp.charged_usd": call["charged_nano"] / NANO,
            "scrimp.cost_status": call["status"],
            "scrimp.breach": bool(call["breach"]),
        }
        failed = call["error_kind"] is not None
        return self._span(
            f"chat {model}",
            call["request_id"],
            call["id"],
            SpanKind.CLIENT,
            attributes,
            Status(StatusCode.ERROR if failed else StatusCode.UNSET, call["error_kind"] if failed else None),
            _start(call),
            _end(call),
        )

    def _span(
        self,
        name: str,
        request_id: str,
        call: int | None,
        kind: Any,
        attributes: Mapping[str, Any],
        status: Any,
        start: int,
        end: int,
    ) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, TraceFlags

        def context(call: int | None) -> SpanContext:
            trace_id, span_id = _ids(request_id, call)
            return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        return ReadableSpan(
            name,
            context=context(call),
            parent=None if call is None else context(None),
            resource=self._resource,
            attributes={key: value for key, value in attributes.items() if value is not None},
            kind=kind,
            status=status,
            start_time=start,
            end_time=max(start, end),
            instrumentation_scope=self._scope,
        )

    # -- metrics ----------------------------------------------------------------------------------------------------

    def _measured(self, calls: Iterable[Mapping[str, Any]]) -> MetricsData | None:
        """Return what the calls used and how long they took, since the last export: sums over processes add up."""
        from opentelemetry.sdk.metrics import Histogram, MeterProvider
        from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

        reader = InMemoryMetricReader(preferred_temporality={Histogram: AggregationTemporality.DELTA})
        provider = MeterProvider([reader], resource=self._resource, shutdown_on_exit=False)
        meter = provider.get_meter("scrimp", self._scope.version)
        tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", explicit_bucket_boundaries_advisory=_TOKEN_BUCKETS
        )
        seconds = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", explicit_bucket_boundaries_advisory=_SECOND_BUCKETS
        )
        for call in calls:
            provider_name, model = _names(call)
            about = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider_name,
                "gen_ai.request.model": model,
                "gen_ai.response.model": call["served_model"],
                "error.type": call["error_kind"],
            }
            about = {key: value for key, value in about.items() if value is not None}
            for kind in ("input", "output"):
                if call[f"{kind}_tokens"] is not None:
                    tokens.record(call[f"{kind}_tokens"], {**about, "gen_ai.token.type": kind})
            if call["latency_s"] is not None or call["error_kind"] is not None:
                seconds.record((_end(call) - _start(call)) / 1e9, about)
        return reader.get_metrics_data()


def _decided(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the decision foresaw of the arm that was taken."""
    try:
        decision = json.loads(row.get("decision") or "{}")
    except ValueError:
        return {}
    taken: dict[str, Any] = next(
        (each for each in decision.get("arms", ()) if each.get("name") == decision.get("arm")), {}
    )
    return {
        "scrimp.decision.arm": decision.get("arm"),
        "scrimp.decision.explored": decision.get("explored"),
        "scrimp.decision.quality": taken.get("quality"),
        "scrimp.decision.cost_usd": taken.get("cost_usd"),
        "scrimp.decision.wtp_usd": decision.get("wtp_usd"),
    }


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """Return what was asked and answered, as the conventions spell it."""

    def said(role: str, text: str) -> list[dict[str, Any]]:
        return [{"role": role, "parts": [{"type": "text", "content": text}]}]

    texts = {"gen_ai.input.messages": json.dumps(said("user", row["prompt"]))}
    if row["system"] is not None:
        texts["gen_ai.system_instructions"] = json.dumps([{"type": "text", "content": row["system"]}])
    if row["answer"] is not None:
        texts["gen_ai.output.messages"] = json.dumps(said("assistant", row["answer"]))
    return texts


def _names(call: Mapping[str, Any]) -> tuple[str, str]:
    """Return the provider and the model of a call, as the conventions name them."""
    prefix, slash, model = str(call["requested_model"] or call["arm"]).partition("/")
    return (_PROVIDERS.get(prefix, prefix), model) if slash else ("_OTHER", prefix)


def _ids(request_id: str, call: int | None) -> tuple[int, int]:
    """Return the ids of a request's trace and of a span in it: always the same."""
    trace = hashlib.sha256(f"scrimp {request_id}".encode()).digest()
    span = hashlib.sha256(f"scrimp {request_id} {call or ''}".encode()).digest()
    return int.from_bytes(trace[:16]) or 1, int.from_bytes(span[16:24]) or 1


def _ns(at: str) -> int:
    """Return an instant as the ledger spells it in nanoseconds since 1970."""
    moment = datetime.fromisoformat(at).astimezone(UTC)
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


def _start(call: Mapping[str, Any]) -> int:
    return _ns(call["started_at"] or call["at"])


def _end(call: Mapping[str, Any]) -> int:
    if call["latency_s"] is not None:
        return _start(call) + round(float(call["latency_s"]) * 1e9)
    return max(_start(call), _ns(call["settled_at"] or call["at"]))
