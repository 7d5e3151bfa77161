"""What a message holds: its text, what the model thought, and the kinds of all else (pictures, sounds, files)."""

from __future__ import annotations

from typing import NamedTuple

from llmtrack.turn.fields import first, object_of, string

MAX_KIND = 40
_TEXT = ("text", "input_text", "output_text", "")
_THINKING = ("thinking", "reasoning", "reasoning_text", "summary_text")
_NOTHING = (
    "reference",
    "tool_reference",
    "tool_use",
    "tool_call",
    "tool_result",
    "redacted_thinking",
)  # read elsewhere
_KINDS = {
    "image_url": "image", "input_image": "image", "output_image": "image",
    "input_audio": "audio", "output_audio": "audio", "audio_url": "audio",
    "video_url": "video", "input_video": "video", "input_file": "file", "document": "file",
}  # fmt: skip


class Content(NamedTuple):
    """`attachments` are kinds, one for each part that is no text: image, audio, video, file, or the part's own type."""

    text: str = ""
    thinking: str = ""
    attachments: tuple[str, ...] = ()
    refusal: bool = False


def content_of(value: object, between: str = "") -> Content:
    """The content of a message: a string, or parts, whose texts are joined with `between`.

    >>> content_of([{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {}}])
    Content(text='Look:', thinking='', attachments=('image',), refusal=False)
    >>> content_of([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"text": "4"}])
    Content(text='4', thinking='Hm.', attachments=(), refusal=False)
    """
    if isinstance(value, str):
        return Content(string(value))
    texts, thoughts, attachments, refusal = [], [], [], False
    for part in value if isinstance(value, list) else []:
        fields = object_of(part)
        kind = string(fields.get("type"), MAX_KIND)
        if isinstance(part, str):
            texts.append(string(part))
        elif kind in _THINKING:
            inner = fields.get("thinking") or fields.get("text")
            thoughts.append(content_of(inner).text)
        elif kind == "refusal":
            texts.append(first(fields.get("refusal"), fields.get("text")))
            refusal = True
        elif kind in _TEXT:
            texts.append(string(fields.get("text")))
        elif kind not in _NOTHING:
            attachments.append(_KINDS.get(kind, kind))
    return Content(between.join(filter(None, texts)), "".join(thoughts), tuple(attachments), refusal)
