"""ModelStreamInfer: many inferences on one stream, which are answered in the order of their requests."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from service.application.limits.frame_admission import AdmittedFrame, FrameAdmission
from service.application.ports import CallTrace
from service.application.request_context import RequestContext
from service.application.sequences import Sequence
from service.domain.errors import CRASHED, InternalError, ShuttingDown, UnrollError
from service.grpc.access_log import log
from service.grpc.call import Call
from service.grpc.errors import end_trace, http_status_of
from service.grpc.inference import Inferences, ModelInferRequest, ModelInferResponse, WireRequest
from service.grpc.messages import message
from service.grpc.runner import CallRunner, parse

ModelStreamInferResponse = message("ModelStreamInferResponse")

#: Metadata by which a client of Triton asks for the status of the first error instead of messages with errors.
GRPC_ERRORS = "triton_grpc_error"
#: A client that cancels a stream ends its requests, too, a moment before.
CANCELLATION_SECONDS = 0.001
STOPPING = "this worker is being stopped; another one can answer"


@dataclass(slots=True, eq=False)
class Item:
    """A request of a stream that was admitted and read, or else the error for which it was not."""

    request: Any
    trace: CallTrace | None = None
    admitted: AdmittedFrame | None = None
    wire: WireRequest | None = None
    error: UnrollError | None = None

    @property
    def sequence(self) -> tuple[str, int | str] | None:
        """The model and the sequence that the request belongs to."""
        sequence: Sequence | None = None if self.wire is None else self.wire.request.sequence
        return None if sequence is None else (self.request.model_name, sequence.id)

    def context(self) -> RequestContext:
        """Return the context of the request, which was admitted."""
        assert self.admitted is not None  # noqa: S101 - its caller has looked
        context = self.admitted.context
        return context if self.trace is None else replace(context, trace=self.trace.operation())

    def release(self, *, departed: bool = False) -> None:
        """Give back what the request holds, and end its trace."""
        if self.trace is not None:
            end_trace(self.trace, self.error, departed=departed)
        if self.admitted is not None:
            self.admitted.release(answered=self.error is None or http_status_of(self.error) < 500)
            self.admitted = None


class InferStreams:
    """Calls of ModelStreamInfer."""

    def __init__(self, inferences: Inferences, runner: CallRunner) -> None:
        self._inferences = inferences
        self._runner = runner

    async def serve(self, call: Call) -> None:
        """Serve a stream until its client ends it, or the worker stops."""
        async with self._runner.stream(call) as admission:
            call.compress()
            stream = InferStream(call, admission, self._inferences, self._runner)
            await stream.run()


class InferStream:
    """One stream. Requests of different sequences run concurrently, those of one sequence one after the other.

    At most `window` requests are not answered; then the next one is not read.
    """

    def __init__(self, call: Call, admission: FrameAdmission, inferences: Inferences, runner: CallRunner) -> None:
        self._call = call
        self._admission = admission
        self._inferences = inferences
        self._runner = runner
        self._raises = str(call.metadata.get(GRPC_ERRORS, "")).lower() == "true"
        self._unanswered = 0
        self._answered = asyncio.Event()
        self._key_ended = asyncio.Event()
        self._answers: asyncio.Queue[tuple[Item, asyncio.Task[Any]] | None] = asyncio.Queue(runner.settings.window)
        self._last: dict[tuple[str, int | str], asyncio.Task[Any]] = {}
        self._items: set[Item] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        call.progress["answered"] = 0

    async def run(self) -> None:
        """Serve the stream.

        Raises ShuttingDown if the worker stops, InvalidApiKey if the key ends, or the first error if that is wanted.
        """
        stop_watching = self._admission.principal.watch(self._key_ended.set)
        writer = self._start(self._write())
        reader = self._start(self._read())
        try:
            await asyncio.wait([reader, writer], return_when=asyncio.FIRST_EXCEPTION)
            if writer.done():
                writer.result()
            reader.result()
        except asyncio.CancelledError as error:
            self._cancel(*error.args)
            raise
        finally:
            stop_watching()
            self._cancel()
            for item in list(self._items):
                item.release(departed=True)
        self._admission.principal.require_valid()
        if self._runner.stopping.is_set():
            raise ShuttingDown(STOPPING, applied="no")

    def _start(self, coroutine: Any) -> asyncio.Task[Any]:  # noqa: ANN401 - a coroutine of any result
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        """Forget a task. Nobody asks for its failure if the client leaves while an answer is sent to it."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    def _cancel(self, *reason: Any) -> None:  # noqa: ANN401 - likewise
        for task in list(self._tasks):
            task.cancel(*reason)

    async def _read(self) -> None:
        """Read the requests, and start each as soon as there is room for it."""
        ends = [self._start(event.wait()) for event in (self._runner.stopping, self._key_ended)]
        while True:
            reading = self._start(self._call.read())
            await asyncio.wait([reading, *ends], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() or self._key_ended.is_set():
                reading.cancel()
                break
            content = reading.result()
            if content is None:
                await asyncio.sleep(CANCELLATION_SECONDS)
                break
            item = await self._admit(content)
            self._items.add(item)
            await self._answers.put((item, self._run(item)))
        for end in ends:
            end.cancel()
        await self._answers.put(None)

    async def _admit(self, content: bytes) -> Item:
        """Return a request that is admitted and read, or refused."""
        item = Item(ModelInferRequest())
        if self._call.trace is not None:
            item.trace = self._call.trace.message()
        self._unanswered += 1
        try:
            await self._admission.start(len(content))
            item.request = parse(ModelInferRequest, content)
            item.admitted = await self._admission.admit_behind(
                len(content), self._is_last_unanswered, self._next_answer
            )
            item.wire = await self._inferences.read(item.admitted.context, item.request)
        except UnrollError as error:
            item.error = error
        except BaseException:
            item.release(departed=True)
            raise
        return item

    def _is_last_unanswered(self) -> bool:
        return self._unanswered == 1

    async def _next_answer(self) -> None:
        self._answered.clear()
        await self._answered.wait()

    def _run(self, item: Item) -> asyncio.Task[Any]:
        """Start a request, behind the one before it in its sequence."""
        before = None if item.sequence is None else self._last.get(item.sequence)
        task = self._start(self._answer(item, before))
        if item.sequence is not None:
            self._last[item.sequence] = task
        return task

    async def _answer(self, item: Item, before: asyncio.Task[Any] | None) -> Any:  # noqa: ANN401 - protobuf has no types
        """Return the response to a request, or note its error."""
        if before is not None:
            await asyncio.wait([before])
        if item.error is not None or item.admitted is None or item.wire is None:
            return None
        try:
            return await self._inferences.run(item.context(), item.request, item.wire)
        except UnrollError as error:
            item.error = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the request is answered
            log.error("request crashed", extra={"request_id": self._call.request_id}, exc_info=error)
            item.error = InternalError(CRASHED)
        return None

    async def _write(self) -> None:
        """Send the answers, in the order of the requests. Raises the first error if the client wants it."""
        while (entry := await self._answers.get()) is not None:
            item, task = entry
            response = await task
            if item.error is not None and self._raises:
                raise item.error
            content = _stream_response(item, response).SerializeToString()
            await self._call.write(content, self._runner.settings.write_seconds)
            self._finish(item, task)

    def _finish(self, item: Item, task: asyncio.Task[Any]) -> None:
        """Give back what an answered request holds."""
        if item.error is None:
            self._call.progress["answered"] += 1
        item.release()
        self._items.discard(item)
        self._unanswered -= 1
        self._answered.set()
        if item.sequence is not None and self._last.get(item.sequence) is task:
            del self._last[item.sequence]


def _stream_response(item: Item, response: Any) -> Any:  # noqa: ANN401 - protobuf has no types
    if item.error is None:
        return ModelStreamInferResponse(infer_response=response)
    failed = ModelInferResponse(model_name=item.request.model_name, id=item.request.id)
    return ModelStreamInferResponse(error_message=item.error.message, infer_response=failed)
