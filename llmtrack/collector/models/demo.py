"""The `demo` provider: answers from a small built-in text, so that the page works without any key. It is no model."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Generator
from typing import Any

import orjson

from llmtrack.collector.models.reading import DONE, Piece
from llmtrack.config import DEMO
from llmtrack.turn.chunk import read_chunk
from llmtrack.turn.question import asked

DELAY_S = 0.02  # between two words: about the pace of a quick model

_HONEST = "*This is the demo: a few built-in texts chosen by the words of your question, not a model.*"

_TOPICS: tuple[tuple[str, str], ...] = (  # the words that choose a text, and the text
    (
        "track tracked tracking record recorded store stored privacy cookie llmtrack visit replay watch",
        """**What llmtrack records of this session**

- the questions you ask and the answers you get
- how far and how fast you scroll, and where you click
- text you select or copy from an answer
- when you go idle and when you come back

What you type into a field is never read before you send it. One session is one document:

| event | what it holds |
|---|---|
| `prompt` | your question |
| `model_response` | the answer, the model, how long it took |
| `scroll` | position, speed, direction |
| `copy` | the text you copied |

Try it: select a sentence here, copy it, then run this in a terminal and watch yourself:

```sh
llmtrack replay last
```""",
    ),
    (
        "key model models provider real openai configure configuration setup connect group groups experiment toml arm",
        """**How to put a real model here**

1. Give the collector a key, or the address of any OpenAI-compatible server.
2. Start `llmtrack serve` with it: the demo steps aside by itself.

```sh
export OPENAI_API_KEY=…
llmtrack serve
```

To compare models, describe the groups of an experiment in `llmtrack.toml`:

```toml
[experiments.production_v1]
groups = [
  { name = "small", model = "gpt-4o-mini", weight = 1 },
  { name = "local", model = "llama3.2", weight = 1, base_url = "http://127.0.0.1:11434/v1" },
]
```

| setting | what it does |
|---|---|
| `name` | how reports call the group |
| `weight` | its share of the users |
| `base_url` | the server that runs the model |

Each user stays in one group, whatever is reloaded.""",
    ),
    (
        "python code function program programming script list sort loop example csv file read",
        """**A small Python example**

This counts words and prints the most frequent ones:

```python
from collections import Counter

def frequent(text: str, n: int = 3) -> list[tuple[str, int]]:
    return Counter(text.lower().split()).most_common(n)

print(frequent("to be or not to be"))
# [('to', 2), ('be', 2), ('or', 1)]
```

- `Counter` counts whatever can be hashed.
- `most_common` sorts by count; equal counts keep the order in which they came.

| step | cost for *n* words |
|---|---|
| count | O(*n*) |
| take the first three | O(*n* log 3) |""",
    ),
    (
        "mail email letter reminder polite colleague message write",
        """**A polite reminder**

> Hello Kim,
>
> a week ago I sent you the draft of our report. Have you had time to look at it?
> I would like to send it out on Friday, so a short word by Thursday would help me.
>
> Thank you, and best wishes

What makes it polite and clear:

- It says what it is about in the first sentence.
- It names one date and the reason for it.
- It asks for little.

| too weak | better |
|---|---|
| "when you have a minute" | "by Thursday" |
| "just checking in" | "have you had time to look at it?" |

As a template for many:

```text
Hello {name}, on {date} I sent you {what}. Have you had time to look at it?
```""",
    ),
    (
        "machine learning neural network networks ai intelligence train training supervised unsupervised deep llm",
        """**Machine learning in short**

A program learns from examples instead of being told every rule. There are three ways:

| kind | learns from | example |
|---|---|---|
| supervised learning | examples with answers | is this mail spam? |
| unsupervised learning | examples alone | which customers are alike? |
| reinforcement learning | reward and failure | playing chess |

A neural network is one such program. Training it repeats three steps:

1. Predict: run an example through the layers.
2. Compare: a loss says how wrong the prediction is.
3. Adjust: move every weight a little in the direction that lowers the loss.

```python
for inputs, expected in examples:
    loss = measure(network(inputs), expected)
    network.adjust(gradient_of(loss))
```

A language model is trained to predict the next word. All it writes follows from that.""",
    ),
)

_OTHERWISE = """**I have no text about that.** These are the ones I have:

- what llmtrack records of this session (ask: *what is tracked?*)
- how to put a real model here (ask: *how do I connect a model?*)
- a small Python example (ask: *show me some Python code*)
- a polite reminder (ask: *write a reminder to a colleague*)
- machine learning in short (ask: *what is machine learning?*)

| you want | do this |
|---|---|
| another answer | ask one of the questions above |
| a real answer | set a key and start `llmtrack serve` |

```sh
export OPENAI_API_KEY=…
```"""


def complete(call: dict[str, Any], delay_s: float = DELAY_S) -> Generator[Piece]:
    """The built-in text that fits the last question, word by word with `delay_s` seconds between two, or whole.

    In the shape of OpenAI's API, as of any provider.
    """
    text = f"{_HONEST}\n\n{text_for(asked(call['messages']).text or '')}"
    head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": DEMO}
    if not call["stream"]:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        yield _piece({**head, "object": "chat.completion", "choices": [choice]}, done=True)
        return
    head["object"] = "chat.completion.chunk"
    for word in re.findall(r"\S+\s*", text):
        time.sleep(delay_s)
        choice = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
        yield _piece({**head, "choices": [choice]})
    yield _piece({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield Piece(DONE.encode(), done=True)


def _piece(sent: dict[str, Any], *, done: bool = False) -> Piece:
    return Piece(orjson.dumps(sent), read_chunk(sent), done)


def text_for(question: str) -> str:
    """The text whose words the question shares most; the list of texts when it shares none.

    >>> text_for("What is machine learning?").splitlines()[0]
    '**Machine learning in short**'
    """
    asked = set(re.findall(r"\w+", question.lower()))
    shared, text = max(((len(asked & set(words.split())), text) for words, text in _TOPICS), key=lambda pair: pair[0])
    return text if shared else _OTHERWISE
